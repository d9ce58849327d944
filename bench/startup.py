"""How long does a worker take from its start to its first result, with its kernels compiled before?

    python -m bench.startup [--starts 5] [--warm-ups 1]

A picture waits in a real controller; the clock runs from the start of ``twistd dpip-worker`` until the API
shows the result. Beside it, what no worker can do without: a Python that imports Twisted's Perspective
Broker, and after that (a worker's child is another process) one that imports Numba.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until


def first_result(cluster: Cluster, client: PlainClient, start: int) -> float:
    """Seconds until a new worker has filtered one waiting picture."""
    workload = client.create_workload()
    client.upload(workload, "frame.jpg", encoded(start, format="JPEG"))
    began = time.perf_counter()
    worker = cluster.start_worker(f"startup-{start}")
    wait_until(lambda: client.workload(workload)["status"] == "completed", "the result", every=0.01)
    seconds = time.perf_counter() - began
    worker.stop()
    return seconds


def imports() -> float:
    began = time.perf_counter()
    for module in ("twisted.spread.pb", "numba"):
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--warm-ups", type=int, default=1, help="starts before those that count")
    options = parser.parse_args()
    with Cluster() as cluster:
        cluster.start_controller()
        client = PlainClient(cluster.http)
        client.login("admin", PASSWORD)
        for start in range(options.warm_ups):
            first_result(cluster, client, start)  # compiles the kernels where nobody has
        ours, floors = [], []
        for start in range(options.starts):
            ours.append(first_result(cluster, client, options.warm_ups + start))
            floors.append(imports())
    result, floor = statistics.median(ours), statistics.median(floors)
    print(f"start to first result {result:.2f} s, imports alone {floor:.2f} s: {result / floor:.2f} of it")


if __name__ == "__main__":
    main()

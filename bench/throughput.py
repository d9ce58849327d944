"""How close does the whole system come to a bare loop? Images/s from the first upload to the last result.

Real processes (controller, worker with 2 compute slots, this client), real sockets, fsync on, everything on
this machine. Beside it in the same run, from memory, with no network and nothing durable:

* "engine pool": a ``multiprocessing`` pool of 2 running our own ``dpip.filters.process``;
* "Pillow pool": the same pool with Pillow alone, the ten lines a user would write.

    python -m bench.throughput [--images 300] [--rounds 3] [--formats JPEG,PNG] [--filters grayscale,blur]

prints medians over the rounds, which interleave all contenders, and the ratios.

    python -m bench.throughput --api-processes 0,1,2 [--images 300] …

measures the system alone, with the API in the controller's process (0) and in so many of its own,
interleaved, and prints who spent how much CPU on an image.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from http.client import HTTPConnection
from io import BytesIO
from typing import Any

import psutil
from attrs import define, field
from PIL import Image, ImageFilter

from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, wait_until

CONNECTIONS = 4
DISTINCT = 60  # different frames; more would only cost memory
BOUNDARY = "dpip-bench-boundary"


def with_pillow(data: bytes, filter: str) -> int:
    picture = Image.open(BytesIO(data))
    format = picture.format
    result = picture.convert("L") if filter == "grayscale" else picture.filter(ImageFilter.GaussianBlur(5))
    file = BytesIO()
    result.save(file, format, **({"quality": 90} if format == "JPEG" else {}))
    return file.tell()


def with_engine(data: bytes, filter: str) -> int:
    from dpip.filters import process

    return len(process(data, filter, {}).data)


def pool_rate(pool: Any, work: Callable[[bytes, str], int], frames: list[bytes], filter: str) -> float:
    start = time.perf_counter()
    pool.starmap(work, [(frame, filter) for frame in frames], chunksize=4)
    return len(frames) / (time.perf_counter() - start)


class System:
    """The cluster under test and a client that keeps ``CONNECTIONS`` connections busy."""

    def __init__(self, cluster: Cluster) -> None:
        self.client = PlainClient(cluster.http)
        self.client.login("admin", PASSWORD)

    def _post(self, connection: HTTPConnection, workload: str, frame: bytes) -> None:
        body = (
            (
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="workload_id"\r\n\r\n{workload}\r\n'
                f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="data"; filename="f"\r\n\r\n'
            ).encode()
            + frame
            + f"\r\n--{BOUNDARY}--\r\n".encode()
        )
        headers = {
            "Authorization": f"Bearer {self.client.token}",
            "Content-Type": f"multipart/form-data; boundary={BOUNDARY}",
        }
        connection.request("POST", "/images", body, headers)
        response = connection.getresponse()
        answer = response.read()
        assert response.status == 201, answer

    def upload(self, workload: str, frames: list[bytes]) -> None:
        """All of them, over ``CONNECTIONS`` connections at once."""
        waiting = iter(frames)

        def lane(_: int) -> None:
            connection = HTTPConnection("127.0.0.1", self.client.port)
            for frame in waiting:
                self._post(connection, workload, frame)
            connection.close()

        with ThreadPoolExecutor(CONNECTIONS) as lanes:
            list(lanes.map(lane, range(CONNECTIONS)))

    def rate(self, frames: list[bytes], filter: str) -> float:
        answer = self.client.request("POST", "/workloads", f"filter={filter}".encode(), FORM)
        workload = answer.json["workload_id"]
        start = time.perf_counter()
        self.upload(workload, frames)
        wait_until(lambda: self.client.workload(workload)["status"] == "completed", "results", every=0.1)
        seconds = time.perf_counter() - start
        now = self.client.workload(workload)
        assert len(now["filtered_images"]) == len(frames), now["failed_images"]
        self.client.request("DELETE", f"/workloads/{workload}")
        return len(frames) / seconds


COLUMNS = ("dpip", "engine pool", "Pillow pool", "÷ engine", "÷ Pillow", "controller ms")
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


def cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    own = process.cpu_times()
    return float(own.user + own.system)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--formats", default="JPEG,PNG")
    parser.add_argument("--filters", default="grayscale,blur")
    parser.add_argument("--api-processes", help="counts to compare, e.g. 0,1,2")
    options = parser.parse_args()
    if options.api_processes:
        counts = [int(count) for count in options.api_processes.split(",")]
        compare(counts, options)
        return
    with Cluster() as cluster, multiprocessing.get_context("spawn").Pool(2) as pool:
        controller = cluster.start_controller()
        cluster.start_worker("bench", "--slots", "2").wait_for_log("Joined")
        system = System(cluster)
        print(f"{'':18}" + "".join(f"{title:>13}" for title in COLUMNS))
        for format, filter in itertools.product(options.formats.split(","), options.filters.split(",")):
            kinds = [encoded(number, format=format) for number in range(min(DISTINCT, options.images))]
            frames = list(itertools.islice(itertools.cycle(kinds), options.images))
            measure(
                system, pool, controller.process.pid, frames, f"{format} {filter}", filter, options.rounds
            )


@define
class Contender:
    """A cluster with so many API processes."""

    count: int
    system: System
    controller: int
    worker: int
    rates: list[float] = field(factory=list)
    costs: list[tuple[float, float, float]] = field(factory=list)

    @classmethod
    def start(cls, cluster: Cluster, count: int) -> Contender:
        controller = cluster.start_controller("--api-processes", str(count))
        worker = cluster.start_worker("bench", "--slots", "2")
        worker.wait_for_log("Joined")
        return cls(count, System(cluster), controller.process.pid, worker.process.pid)

    def spent(self) -> tuple[float, float, float]:
        """Seconds of CPU of the controller, its API processes, and the worker but for its computing."""
        children = psutil.Process(self.controller).children()
        apis = sum(cpu_seconds(child.pid) for child in children)
        return cpu_seconds(self.controller), apis, cpu_seconds(self.worker)

    def run(self, frames: list[bytes], filter: str) -> None:
        before = self.spent()
        self.rates.append(self.system.rate(frames, filter))
        after = self.spent()
        costs = [(then - now) / len(frames) * 1000 for now, then in zip(before, after, strict=True)]
        self.costs.append((costs[0], costs[1], costs[2]))


def compare(counts: list[int], options: argparse.Namespace) -> None:
    """The same system with the API in so many processes of its own."""
    titles = ("images/s", "controller ms", "API ms", "worker ms")
    with ExitStack() as stack:
        contenders = [Contender.start(stack.enter_context(Cluster()), count) for count in counts]
        print(f"{'':34}" + "".join(f"{title:>15}" for title in titles))
        for format, filter in itertools.product(options.formats.split(","), options.filters.split(",")):
            kinds = [encoded(number, format=format) for number in range(min(DISTINCT, options.images))]
            frames = list(itertools.islice(itertools.cycle(kinds), options.images))
            for contender in contenders:
                contender.system.rate(frames[:20], filter)
                contender.rates, contender.costs = [], []
            for _ in range(options.rounds):
                for contender in contenders:
                    contender.run(frames, filter)
            for contender in contenders:
                costs = [statistics.median(column) for column in zip(*contender.costs, strict=True)]
                figures = [statistics.median(contender.rates), *costs]
                title = f"{format} {filter}, {contender.count} API processes"
                print(f"{title:34}" + "".join(f"{figure:15.2f}" for figure in figures), flush=True)


def measure(
    system: System, pool: Any, controller: int, frames: list[bytes], title: str, filter: str, rounds: int
) -> None:
    few = frames[: len(frames) // 5]  # Pillow's PNG is slow: a fifth is enough for a rate
    system.rate(frames[:8], filter)
    pool_rate(pool, with_engine, frames[:8], filter)
    ours, engine, pillow, cost = [], [], [], []
    for _ in range(rounds):
        before = cpu_seconds(controller)
        ours.append(system.rate(frames, filter))
        cost.append((cpu_seconds(controller) - before) / len(frames) * 1000)
        engine.append(pool_rate(pool, with_engine, frames, filter))
        pillow.append(pool_rate(pool, with_pillow, few, filter))
    a, b, c = map(statistics.median, (ours, engine, pillow))
    figures = (a, b, c, a / b, a / c, statistics.median(cost))
    print(f"{title:18}" + "".join(f"{figure:13.2f}" for figure in figures), flush=True)


if __name__ == "__main__":
    main()

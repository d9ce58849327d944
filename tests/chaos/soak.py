"""Mixed work for a while: does anything grow that should not?

Memory and descriptors of controller, worker and compute child, and the sizes of database, telemetry and logs
are read every few seconds; after a warm-up each gets a line through its points, whose slope is printed. Rows
that are kept for days by design, and lines of the log, are shown for each request, too.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import numpy as np
import psutil

from tests.chaos.ledger import Ledger, check_disk
from tests.frames import encoded
from tests.system.plain_client import PlainClient
from tests.system.processes import PASSWORD, Cluster, Process

MIB: Final = 1 << 20
_KEPT: Final = 3
_FRAMES: Final = 4
_EVERY: Final = 5.0
"""Seconds between two looks."""
FLAT: Final = {"MiB": 4.0, "descriptors": 4.0}
"""How much the line may rise from the end of the warm-up to the end of the run."""

Sizes = Mapping[tuple[str, str], float]


class Load:
    """A user who does a bit of everything, at a steady pace."""

    def __init__(self, port: int, seed: int = 1) -> None:
        self.ledger = Ledger(port, width=320, height=200)
        self.requests = 0
        self._random = random.Random(seed)
        self._port = port
        self.ledger.log_in()

    def turn(self) -> None:
        """One workload from its order to the download of its results."""
        ledger = self.ledger
        order = ledger.order()
        for _ in range(_FRAMES):
            ledger.upload(order)
        self._misbehave(order.id)
        ledger.completed(order)
        ledger.download(order)
        for path in ("/status", "/workers", "/workloads", f"/workloads/{order.id}/why", "/activity"):
            assert ledger.client.request("GET", path).status == 200
        if len(ledger.orders) > _KEPT:
            ledger.delete(self._random.choice(ledger.orders))
        if self._random.random() < 0.05:
            self._come_and_go()
        self.requests += 2 * _FRAMES + 10

    def _misbehave(self, workload: str) -> None:
        broken = encoded(1, 320, 200)[:500]
        assert self.ledger.client.upload(workload, "broken.png", b"not a picture").status == 415
        assert self.ledger.client.upload("nowhere", "broken.png", broken).status == 404
        assert PlainClient(self._port).request("GET", "/workloads").status == 401

    def _come_and_go(self) -> None:
        client = PlainClient(self._port)
        client.login("admin", PASSWORD)
        assert client.request("DELETE", "/logout").status == 200


def sizes(cluster: Cluster, processes: Mapping[str, Process]) -> Sizes:
    """Of everything, by what it is and its unit."""
    found: dict[tuple[str, str], float] = {}
    for name, process in processes.items():
        seen = psutil.Process(process.process.pid)
        found[f"memory of the {name}", "MiB"] = seen.memory_info().rss / MIB
        found[f"descriptors of the {name}", "descriptors"] = seen.num_fds()
        found[f"log of the {name}", "KiB"] = process.log_path.stat().st_size / 1024
        for child in seen.children():
            found["memory of the compute child", "MiB"] = child.memory_info().rss / MIB
            found["descriptors of the compute child", "descriptors"] = child.num_fds()
    for file in ("dpip.sqlite", "telemetry.sqlite"):
        found[file, "KiB"] = sum(path.stat().st_size for path in cluster.state.glob(f"{file}*")) / 1024
    images = [path for path in (cluster.state / "images").rglob("*") if path.is_file()]
    found["image files", "files"] = len(images)
    return found


def slopes(points: Sequence[tuple[float, Sizes]]) -> dict[tuple[str, str], tuple[float, float]]:
    """Of each size: the mean, and how much the line through its points rises in a second."""
    times = np.array([at for at, _ in points])
    return {
        what: (float(np.mean(values)), float(np.polyfit(times, values, 1)[0]))
        for what in points[-1][1]
        if (values := [sizes.get(what, np.nan) for _, sizes in points]) and not np.isnan(values).any()
    }


def soak(seconds: float, pause: float, warm_up: float = 0.3) -> tuple[list[str], Iterator[str]]:
    """What is wrong, and lines to be printed. ``pause`` is between turns; ``warm_up`` a part of the time."""
    points: list[tuple[float, Sizes]] = []
    requests_at: list[int] = []
    with Cluster() as cluster:
        controller = cluster.start_controller()
        worker = cluster.start_worker("one", "--slots", "1")
        worker.wait_for_log("Joined")
        load = Load(cluster.http)
        processes = {"controller": controller, "worker": worker}
        began, look = time.monotonic(), 0.0
        while (now := time.monotonic() - began) < seconds:
            if now >= look:
                points.append((now, sizes(cluster, processes)))
                requests_at.append(load.requests)
                look = now + min(_EVERY, seconds / 20)
            load.turn()
            time.sleep(pause)
        load.ledger.check()
        for process in (worker, controller):
            process.stop()
        wrong = [*load.ledger.violations, *check_disk(cluster.state)]
    first = int(len(points) * warm_up)
    lines = slopes(points[first:])
    lasted = points[-1][0] - points[first][0]
    wrong += [
        f"I6: {what} rises by {slope * lasted:.1f} {unit} in {lasted:.0f} s"
        for (what, unit), (_, slope) in lines.items()
        if slope * lasted > FLAT.get(unit, np.inf)
    ]
    rate = (requests_at[-1] - requests_at[first]) / lasted
    return wrong, _table(lines, rate, load.requests, seconds)


def _table(
    lines: Mapping[tuple[str, str], tuple[float, float]], rate: float, requests: int, seconds: float
) -> Iterator[str]:
    yield f"{requests} requests in {seconds:.0f} s; after the warm-up, at {rate:.0f} requests a second:"
    for (what, unit), (mean, slope) in lines.items():
        each = f"; {slope / rate * 1024:.0f} bytes for each request" if unit == "KiB" else ""
        yield f"  {what:34} {mean:9.1f} {unit:12} {slope * 3600:+9.1f} an hour{each}"


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--pause", type=float, default=0.3, help="seconds between two workloads")
    given = parser.parse_args(arguments)
    wrong, lines = soak(60 * given.minutes, given.pause)
    print("\n".join([*lines, *wrong, f"{len(wrong)} violations"]))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

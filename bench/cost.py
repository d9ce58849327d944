"""What does an image cost beside the filtering itself? CPU time of each process, stage by stage.

Real processes, real sockets, fsync on. The stages are kept apart: all images are uploaded before there is a
worker, filtered while the client only asks now and then, and downloaded when all is done.

    python -m bench.cost [--images 120] [--formats JPEG,PNG] [--filter grayscale]

prints ms of CPU per image: of the controller's reactor thread and of its other threads (files, database),
of the worker without its compute children, and of the client (``dpip.client``, with TCP and files in memory).
"""

from __future__ import annotations

import argparse
import itertools
import sys
from collections.abc import Sequence
from typing import Any

import psutil
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater, react

from dpip.client import Client
from tests.frames import encoded
from tests.system.processes import PASSWORD, Cluster, Process

DISTINCT = 60  # different frames; more would only cost memory
POLL_SECONDS = 0.25
COLUMNS = ("reactor", "threads", "worker", "client", "sum")


@frozen
class Spent:
    """Seconds of CPU so far."""

    reactor: float
    threads: float
    worker: float
    client: float

    @classmethod
    def now(cls, controller: Process, worker: Process | None) -> Spent:
        threads = {
            t.id: t.user_time + t.system_time for t in psutil.Process(controller.process.pid).threads()
        }
        reactor = threads.pop(controller.process.pid)
        return cls(
            reactor, sum(threads.values()), _total(worker.process.pid) if worker else 0.0, _total(None)
        )

    def since(self, before: Spent, images: int) -> tuple[float, ...]:
        """Milliseconds per image, in the order of ``COLUMNS``."""
        pairs = zip(
            (self.reactor, self.threads, self.worker, self.client),
            (before.reactor, before.threads, before.worker, before.client),
            strict=True,
        )
        each = [(after - earlier) * 1000 / images for after, earlier in pairs]
        return (*each, sum(each))


def _total(pid: int | None) -> float:
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def show(title: str, figures: Sequence[float]) -> None:
    print(f"{title:24}" + "".join(f"{figure:9.2f}" for figure in figures), flush=True)


async def measure(reactor: Any, cluster: Cluster, frames: list[bytes], title: str, filter: str) -> None:
    controller = cluster.start_controller()
    async with Client(reactor, f"http://127.0.0.1:{cluster.http}") as client:
        await client.login("admin", PASSWORD)
        files = [(f"{place}", frame) for place, frame in enumerate(frames)]
        warm = await client.create_workload(filter)
        first = files[:20]
        await client.upload_many(warm.workload_id, first)
        workload = await client.create_workload(filter)
        start = Spent.now(controller, None)
        await client.upload_many(workload.workload_id, files)
        uploaded = Spent.now(controller, None)
        worker = cluster.start_worker("bench", "--slots", "2")
        worker.wait_for_log("Joined")
        joined = Spent.now(controller, worker)
        while not (await client.workload(workload.workload_id)).completed:
            await deferLater(reactor, POLL_SECONDS)
        filtered = Spent.now(controller, worker)
        results = (await client.workload(workload.workload_id)).filtered_images
        listed = Spent.now(controller, worker)
        for image in results[: len(frames)]:
            await client.download(image)
        downloaded = Spent.now(controller, worker)
    count = len(frames)
    stages = (
        uploaded.since(start, count),
        filtered.since(joined, count + len(first)),
        downloaded.since(listed, count),
    )
    for stage, figures in zip(("upload", "filter", "download"), stages, strict=True):
        show(f"{title} {stage}", figures)
    show(f"{title} in all", [sum(column) for column in zip(*stages, strict=True)])
    worker.stop()
    controller.stop()


async def run(reactor: Any, options: argparse.Namespace) -> None:
    print(f"{'ms of CPU per image':24}" + "".join(f"{title:>9}" for title in COLUMNS))
    for format in options.formats.split(","):
        kinds = [encoded(number, format=format) for number in range(min(DISTINCT, options.images))]
        frames = list(itertools.islice(itertools.cycle(kinds), options.images))
        with Cluster() as cluster:
            await measure(reactor, cluster, frames, format, options.filter)


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=120)
    parser.add_argument("--formats", default="JPEG,PNG")
    parser.add_argument("--filter", default="grayscale")
    return Deferred.fromCoroutine(run(reactor, parser.parse_args(arguments)))


if __name__ == "__main__":
    react(main, sys.argv[1:])

"""How many jobs a second go through datastore, scheduler and Perspective Broker and back, all of it durable?

A real controller in this process, worker-like peers in another, TLS between them. There are no pixels: the
peers say at once that a job is done, and its result is committed then, as an upload of it would. Each job is
three durable operations: its original, its lease, its result. And: what does a job cost in a workload of
many, compared with one of few?

``python -m bench.jobs [--jobs 20000] [--sizes 1000,10000,100000] [--workers 4] [--warm-up 2000]
[--record [FILE]]``
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater, react

from bench.agents import Agents
from bench.controlling import Controlled, finally_stopped, stored
from bench.record import add_option, keep
from dpip.controller.worker_link import WorkerLink
from dpip.link import worker_messages as wire
from dpip.model import Outcome, Workload

LANES = 256  # uploads at once
SLOTS = 64  # of each peer
UPLOAD = 1000  # originals in one request, where uploading is not what is measured


class Committing:
    """In the place of the API: the result of each job that a peer says is done becomes durable."""

    def __init__(self, controlled: Controlled) -> None:
        self._parts = controlled.parts
        self._told = controlled.parts.workers.attempts_ended
        self.done = 0
        controlled.parts.workers.attempts_ended = self.ended  # type: ignore[method-assign]

    def ended(self, link: WorkerLink, endings: Sequence[wire.AttemptEnding]) -> None:
        for ending in endings:
            if ending.outcome is Outcome.DONE:
                Deferred.fromCoroutine(self._commit(link, ending))
        self._told(link, endings)

    async def _commit(self, link: WorkerLink, ending: wire.AttemptEnding) -> None:
        result = stored("results")
        await self._parts.datastore.finish(ending.lease, link.info.name, result, time.time())
        self._parts.scheduler.result_committed(ending.lease)
        self.done += 1


async def upload(controlled: Controlled, workload: Workload, jobs: int, at_once: int = UPLOAD) -> None:
    """So many originals, ``at_once`` in one request, which the scheduler hears of when it is durable."""
    left = iter(range(0, jobs, at_once))

    async def lane() -> None:
        for first in left:
            waiting = await controlled.upload(workload, min(at_once, jobs - first))
            controlled.parts.scheduler.jobs_waiting(workload.id, waiting)

    await gatherResults([Deferred.fromCoroutine(lane()) for _ in range(LANES if at_once == 1 else 1)])


async def measure(reactor: Any, controlled: Controlled, options: argparse.Namespace) -> None:
    await controlled.start()
    committing = Committing(controlled)
    service = controlled.service
    sizes = [int(size) for size in options.sizes.split(",")]
    with Agents(service.workers_port, service.state, options.workers, SLOTS):
        await through(controlled, committing, options.warm_up)  # everybody has joined, everything is warm
        rate = await through(controlled, committing, options.jobs)
        costs = {}
        for size in sizes:
            costs[size] = await flat(reactor, controlled, committing, size)
    spread = max(costs.values()) / min(costs.values()) - 1
    print(f"from {sizes[0]:,} to {sizes[-1]:,} images in one workload: flat within {spread:.0%}")
    if options.record:
        by_size = {f"{size:,}": round(cost) for size, cost in costs.items()}
        keep("jobs", {"per second": round(rate), "µs of CPU by size": by_size}, options.record)


async def through(controlled: Controlled, committing: Committing, jobs: int) -> float:
    """Jobs each second, uploads included, every one a request of its own."""
    workload = await controlled.workload()
    before, start, cpu = committing.done, time.perf_counter(), time.process_time()
    await upload(controlled, workload, jobs, 1)
    await controlled.until(lambda: committing.done == before + jobs)
    rate, cpu = jobs / (time.perf_counter() - start), (time.process_time() - cpu) / jobs
    print(f"{jobs:,} jobs, upload to result: {rate:,.0f} jobs/s, {cpu * 1e6:.0f} µs of CPU each", flush=True)
    return rate


async def flat(reactor: Any, controlled: Controlled, committing: Committing, jobs: int) -> float:
    """Microseconds of CPU for a job in a workload of so many, uploaded in large requests."""
    workload = await controlled.workload()
    before, start, cpu = committing.done, time.perf_counter(), time.process_time()
    await upload(controlled, workload, jobs)
    await controlled.until(lambda: committing.done == before + jobs)
    seconds, cpu = time.perf_counter() - start, (time.process_time() - cpu) / jobs
    rate = jobs / seconds
    print(f"{jobs:9,} jobs in one workload: {rate:,.0f} jobs/s, {cpu * 1e6:.0f} µs of CPU each", flush=True)
    await deferLater(reactor, 0.5)
    return cpu * 1e6


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=20_000)
    parser.add_argument("--sizes", default="1000,10000,100000")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--warm-up", type=int, default=2000, help="jobs before those that count")
    add_option(parser)
    controlled = Controlled(reactor)
    return finally_stopped(controlled, measure(reactor, controlled, parser.parse_args(arguments)))


if __name__ == "__main__":
    react(main, sys.argv[1:])

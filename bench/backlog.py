"""A million waiting jobs: what memory do they take in the controller, and how long does it need to start?

Two controllers are started, each in a process of its own: one with an empty state directory, and one whose
datastore holds the jobs. Memory is the difference of what the two have when the scheduler knows all jobs.

``python -m bench.backlog [--jobs 1000000] [--record [FILE]]``
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from bench.controlling import Controlled, finally_stopped
from bench.record import add_option, keep, resident

REQUEST = 2000  # originals in one request while the directory is made


async def fill(controlled: Controlled, jobs: int) -> None:
    """The scheduler hears of none of them: a controller that starts later will."""
    await controlled.start()
    for first in range(0, jobs, 100_000):
        workload = await controlled.workload()
        for _ in range(0, min(100_000, jobs - first), REQUEST):
            await controlled.upload(workload, REQUEST)


async def start(controlled: Controlled) -> None:
    """Prints the seconds until the API answers and until every job is known, and the memory then."""
    begin = time.perf_counter()
    await controlled.start()
    serving = time.perf_counter() - begin
    await controlled.until(lambda: controlled.parts.scheduler.ready)
    print(json.dumps([serving, time.perf_counter() - begin, resident()]))


def started(state: Path) -> list[float]:
    command = [sys.executable, "-m", "bench.backlog", "--start", str(state)]
    [serving, ready, memory] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return [serving, ready, memory]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=1_000_000)
    add_option(parser)
    parser.add_argument("--start", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--fill", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.start or options.fill:
        react(_inside, [options])
    with tempfile.TemporaryDirectory(dir=Path.cwd()) as folder:
        empty, full = Path(folder) / "empty", Path(folder) / "full"
        command = [sys.executable, "-m", "bench.backlog", "--jobs", str(options.jobs), "--fill", str(full)]
        subprocess.run(command, check=True)
        _, _, without = started(empty)
        serving, ready, memory = started(full)
    grown = (memory - without) / 2**20
    print(f"{options.jobs:,} waiting jobs: {grown:.0f} MiB more than an empty controller's", end=" ")
    print(f"{without / 2**20:.0f} MiB; it serves after {serving:.1f} s, knows all jobs after {ready:.1f} s")
    if options.record:
        figures = {"jobs": options.jobs, "MiB": round(grown), "seconds": round(ready, 1)}
        keep("backlog", figures, options.record)


def _inside(reactor: Any, options: argparse.Namespace) -> Deferred[None]:
    controlled = Controlled(reactor, options.start or options.fill)
    return finally_stopped(controlled, start(controlled) if options.start else fill(controlled, options.jobs))


if __name__ == "__main__":
    main()

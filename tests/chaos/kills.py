"""``kill -9`` of the controller or a worker, again and again, while users upload, wait, download and delete.

Nothing promised may be lost, nothing may be there twice. At the end the start with many jobs is measured.
"""

from __future__ import annotations

import argparse
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Event, Thread

from dpip.runtime.tempdirs import LockedTempDir
from dpip.worker.spool import PREFIX
from tests.chaos.fork_server import ForkedController, ForkServer
from tests.chaos.ledger import Ledger, check_disk
from tests.chaos.workers import IMPATIENT
from tests.system.processes import REPOSITORY, Process, free_port

_AT_ONCE = 12
"""Frames of a workload."""
_KEPT = 4
"""Workloads that a user keeps to the end; others are deleted."""


class Town:
    """A controller and workers that are killed and replaced; a context manager."""

    def __init__(self, workers: int, seed: int) -> None:
        self._ends = ExitStack()
        self._random = random.Random(seed)
        self._names = [f"worker-{number}" for number in range(workers)]
        self._workers: dict[str, Process] = {}
        self.http, self._pb = free_port(), free_port()
        self.kills: Counter[str] = Counter()

    def __enter__(self) -> Town:
        name = self._ends.enter_context(
            tempfile.TemporaryDirectory(prefix="dpip-chaos-", ignore_cleanup_errors=True)
        )
        self.directory = Path(name)
        self.state, self.spools = self.directory / "state", self.directory / "spools"
        self.fork_server = self._ends.enter_context(ForkServer(self.directory))
        self._start_controller()
        for name in self._names:
            self._start_worker(name)
        return self

    def __exit__(self, *_: object) -> None:
        for worker in self._workers.values():
            worker.kill()
        self._ends.close()

    def kill_someone(self, share: float) -> None:
        """``share`` is the controller's."""
        # On a busy machine no worker would ever join if those that start were killed, too.
        joined = [name for name in self._names if "Joined as" in self._workers[name].log]
        if not joined or self._random.random() < share:
            self.kills["controller"] += 1
            self._controller.end(signal.SIGKILL)
            self._start_controller()
        else:
            name = self._random.choice(joined)
            self.kills["worker"] += 1
            self._workers[name].kill()
            self._start_worker(name)

    def wait(self, longest: float) -> None:
        time.sleep(self._random.uniform(0, longest))

    def stop(self) -> list[str]:
        """All in good order; what is wrong then."""
        found = []
        for name, worker in self._workers.items():
            if worker.stop() != -signal.SIGTERM or "Traceback" in worker.log:
                found.append(f"{name} did not end in good order:\n{worker.log[-3000:]}")
        if self._controller.end():
            found.append(f"the controller did not end in good order:\n{self._controller.log[-3000:]}")
        sweeper = LockedTempDir(
            self.spools, PREFIX
        )  # as the next worker: one may have ended before it was up
        sweeper.open()
        sweeper.close()
        left = [str(path) for path in self.spools.rglob("*")]
        return [*found, *check_disk(self.state), *([f"I6: spools are left: {left}"] if left else [])]

    def _start_controller(self) -> None:
        self._controller: ForkedController = self.fork_server.start(
            *("--state-dir", str(self.state), "--disk-floor", "1M"),
            *("--http", f"127.0.0.1:{self.http}", "--pb", f"127.0.0.1:{self._pb}"),
        )
        assert self._controller.ready(), self._controller.log

    def _start_worker(self, name: str) -> None:
        self._workers[name] = Process(
            self.directory,
            name,
            *("dpip-worker", "--worker-name", name, "--slots", "1", "--spool-dir", str(self.spools)),
            *("--controller", f"127.0.0.1:{self._pb}", "--state-dir", str(self.state)),
            program=IMPATIENT,
        )


class Customer(Thread):
    """Orders and collects until ``enough``; then all that was promised is checked."""

    def __init__(self, town: Town, enough: Event, seed: int) -> None:
        super().__init__(name=f"customer-{seed}", daemon=True)
        self.ledger = Ledger(town.http, revive=lambda: time.sleep(0.02))
        self.frames = 0
        self._enough = enough
        self._random = random.Random(seed)
        self.wrong: list[str] = []
        self.ledger.log_in()

    def run(self) -> None:
        try:
            while not self._enough.is_set():
                self._buy()
            self.ledger.check()
        except Exception as error:  # noqa: BLE001 - told by whoever waits for this thread
            self.wrong.append(f"{self.name}: {error!r}")
        self.wrong += self.ledger.violations

    def _buy(self) -> None:
        order = self.ledger.order()
        for _ in range(_AT_ONCE):
            self.ledger.upload(order)
            self.frames += 1
        if self._random.random() < 0.8:
            self.ledger.completed(order)
            self.ledger.download(order)
        if len(self.ledger.orders) > _KEPT:
            self.ledger.delete(self._random.choice(self.ledger.orders))


def kill_at_random(
    rounds: int, workers: int = 3, longest: float = 2.0, share: float = 0.5, seed: int = 1
) -> tuple[list[str], str]:
    """What is wrong afterwards, and what happened."""
    enough = Event()
    with Town(workers, seed) as town:
        customers = [Customer(town, enough, seed + number) for number in range(2)]
        for customer in customers:
            customer.start()
        for _ in range(rounds):
            town.wait(longest)
            town.kill_someone(share)
        enough.set()
        for customer in customers:
            customer.join()
        wrong = [words for customer in customers for words in customer.wrong]
        wrong += town.stop()
    frames = sum(customer.frames for customer in customers)
    return wrong, f"{rounds} rounds, killed {dict(town.kills)}; {frames} frames filtered"


def start_with_jobs(jobs: int) -> str:
    """How long a controller with so many waiting jobs takes until it serves, loaded modules apart."""
    with tempfile.TemporaryDirectory(prefix="dpip-chaos-") as name:
        directory = Path(name)
        state = directory / "state"
        command = [sys.executable, "-m", "bench.backlog", "--fill", str(state), "--jobs", str(jobs)]
        subprocess.run(command, check=True, cwd=REPOSITORY)
        seconds = []
        with ForkServer(directory) as server:
            for _ in range(3):
                began = time.monotonic()
                controller = server.start("--state-dir", str(state), *_ANYWHERE)
                assert controller.ready(), controller.log
                seconds.append(time.monotonic() - began)
                controller.end(signal.SIGKILL)
        began = time.monotonic()
        whole = Process(directory, "whole", "dpip-controller", "--state-dir", str(state), *_ANYWHERE)
        whole.wait_for_log("Ready")
        seconds_whole = time.monotonic() - began
        whole.kill()
    return (
        f"with {jobs:,} jobs a killed controller is ready after {min(seconds):.2f} to {max(seconds):.2f} s, "
        f"and {seconds_whole:.2f} s with the loading of its modules"
    )


_ANYWHERE = ("--http", "127.0.0.1:0", "--pb", "127.0.0.1:0")


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kills", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=100_000, help="in the database, for the measured start")
    given = parser.parse_args(arguments)
    began = time.monotonic()
    wrong, what = kill_at_random(given.rounds, seed=given.seed)
    print(
        "\n".join([*wrong, f"{what}; {len(wrong)} violations; {time.monotonic() - began:.0f} s"]), flush=True
    )
    if given.jobs:
        print(start_with_jobs(given.jobs))
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

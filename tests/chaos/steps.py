"""The controller is struck once at each of its durable system calls: killed, or told that the disk fails.

The scripts: the first start in an empty directory, and a user's work with one worker, which gets pictures by
HTTP or shares the controller's files; each with a stop in good order at the end. After the strike the
controller is started again when it has died, the user goes on where the answer was missing, and everything
that was promised is held against what is there.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from queue import SimpleQueue
from typing import Final

from attrs import define, field, frozen

from tests.chaos.fork_server import ForkedController, ForkServer
from tests.chaos.ledger import Ledger, check_disk
from tests.chaos.strace import DURABLE, Strace, missing
from tests.chaos.workers import IMPATIENT
from tests.simulation.planted import BUGS
from tests.system.processes import Process, free_port

FAULTS: Final = ("signal=KILL", "error=ENOSPC", "error=EIO")
_BEYOND: Final = 3
"""So many more than were counted: their number differs a little from life to life."""


@frozen
class Strike:
    """``fault`` at the ``number``-th ``call`` of the script."""

    script: str
    call: str
    fault: str
    number: int

    @property
    def injection(self) -> str:
        return f"inject={self.call}:{self.fault}:when={self.number}"


@frozen
class Outcome:
    strike: Strike
    struck: str | None  # as strace shows it; None when the life ended before
    violations: Sequence[str]
    refusals: Sequence[int]


class Lane:
    """Lives one after the other, in a directory and at ports of their own; a context manager."""

    def __init__(self, directory: Path, bug: str | None) -> None:
        self._directory = directory
        self._bug = bug
        self._http, self._pb = free_port(), free_port()
        self._ends = ExitStack()
        self._lives = 0

    def __enter__(self) -> Lane:
        self._fork_server = self._ends.enter_context(ForkServer(self._directory, self._bug))
        controller = self.start("template")
        assert controller.ready(), controller.log
        self.tokens = [self._log_in() for _ in range(2)]
        controller.end()
        self._worker: Process | None = None
        self._worker_options: Sequence[str] = ()
        return self

    def __exit__(self, *_: object) -> None:
        if self._worker is not None:
            self._worker.stop()
        self._ends.close()

    def _log_in(self) -> str:
        ledger = Ledger(self._http)
        ledger.log_in()
        return ledger.client.token

    def start(self, state: str, held: bool = False) -> ForkedController:
        return self._fork_server.start(
            *("--state-dir", str(self._directory / state)),
            *("--http", f"127.0.0.1:{self._http}", "--pb", f"127.0.0.1:{self._pb}"),
            *("--disk-floor", "1M"),
            held=held,
            one_thread=True,
        )

    def live(self, script: str, strike: Strike | None = None) -> Life:
        """One life from its beginning to its end, with one strike or none."""
        self._lives += 1
        state = self._directory / f"state-{self._lives}"
        begin, worker = SCRIPTS[script]
        if worker is not None:
            self._need_worker(worker)
            shutil.copytree(self._directory / "template", state)
        life = Life(self, state, self._http)
        life.run(begin, strike)
        if not life.violations:
            shutil.rmtree(state)
        return life

    def _need_worker(self, options: Sequence[str]) -> None:
        """One for all lives of a script: its controllers have one authority, that of the template."""
        if self._worker is not None and self._worker_options == options:
            return
        if self._worker is not None:
            self._worker.stop()
        self._worker_options = options
        self._worker = Process(
            self._directory,
            "worker",
            "dpip-worker",
            *("--controller", f"127.0.0.1:{self._pb}", "--state-dir", str(self._directory / "template")),
            *("--worker-name", "one", "--slots", "1", *options),
            program=IMPATIENT,
        )


@define(eq=False)
class Life:
    _lane: Lane
    _state: Path
    _http: int
    calls: Counter[str] = field(factory=Counter, init=False)
    struck: str | None = field(default=None, init=False)
    ledger: Ledger = field(init=False)
    violations: list[str] = field(factory=list, init=False)
    _controller: ForkedController = field(init=False)
    _starts: int = field(default=1, init=False)

    def run(self, script: Script, strike: Strike | None) -> None:
        self.ledger = Ledger(self._http, self._revive)
        self._controller = self._lane.start(self._state.name, held=True)
        log = self._state.with_suffix(".strace")
        strace = Strace(self._controller.pid, log, strike.injection if strike else None)
        self._controller.begin()
        try:
            self._be_ready()
            script(self.ledger, self._lane.tokens)
            self.ledger.check()
            self._stop()
            strace.wait()
            if self._starts == 1:  # the strike came without a restart: is it true on the disk, too?
                self._start()
                self.ledger.check()
                self._stop()
            self.violations += self.ledger.violations
            self.violations += check_disk(self._state)
        except AssertionError as wrong:
            self.violations.append(f"{wrong}\n{self._controller.log[-2000:]}")
            self._controller.end(signal.SIGKILL)
            strace.wait()
        self.calls, self.struck = strace.calls(), strace.struck()

    def _be_ready(self) -> None:
        while not self._controller.ready():
            assert self._starts < 5, "it does not start any more"
            self._begin_again()

    def _start(self) -> None:
        self._begin_again()
        self._be_ready()

    def _begin_again(self) -> None:
        self._starts += 1
        self._controller = self._lane.start(self._state.name)

    def _revive(self) -> None:
        if self._controller.ended():
            self._start()

    def _stop(self) -> None:
        """In good order, unless the strike comes just then."""
        status = self._controller.end()
        if status == -signal.SIGKILL:
            self._start()
            self.ledger.check()
            status = self._controller.end()
        if status:
            self.violations.append(f"it ended with status {status}:\n{self._controller.log[-2000:]}")


Script = Callable[[Ledger, Sequence[str]], None]
"""What a user does. The tokens are of two sessions that the template knows."""


def _first_start(ledger: Ledger, tokens: Sequence[str]) -> None:
    ledger.log_in()


def _work(ledger: Ledger, tokens: Sequence[str]) -> None:
    """What makes a controller write: every kind of it, but for logging in."""
    ledger.client.token, other = tokens
    first = ledger.order()
    ledger.upload(first)
    ledger.upload(first)
    ledger.completed(first)
    ledger.download(first)
    second = ledger.order("invert")
    ledger.upload(second)
    ledger.delete(second)
    ledger.log_out(other)


def _batches(ledger: Ledger, tokens: Sequence[str]) -> None:
    """Uploads in one request, and results that come in batches."""
    ledger.client.token, _ = tokens
    order = ledger.order()
    ledger.upload_together(order, 6)
    ledger.completed(order)
    ledger.download(order)


SCRIPTS: Final[dict[str, tuple[Script, Sequence[str] | None]]] = {
    "first start": (_first_start, None),
    "work": (_work, ()),
    "batches": (_batches, ()),
    "batches on shared files": (_batches, ("--local-store",)),
    "work on shared files": (_work, ("--local-store",)),
}
"""Each with the options of its worker, if there is one."""


def strikes(script: str, calls: Counter[str], faults: Iterable[str] = FAULTS) -> Iterator[Strike]:
    """All of a script, in order."""
    for call, count in sorted(calls.items()):
        for fault in faults:
            for number in range(1, count + _BEYOND + 1):
                yield Strike(script, call, fault, number)


class Lanes:
    """Several at once; a context manager."""

    def __init__(self, count: int, bug: str | None = None) -> None:
        self._directory = tempfile.TemporaryDirectory(prefix="dpip-chaos-", ignore_cleanup_errors=True)
        self._ends = ExitStack()
        self._free: SimpleQueue[Lane] = SimpleQueue()
        self._count, self._bug = count, bug

    def __enter__(self) -> Lanes:
        self._ends.enter_context(self._directory)
        for number in range(self._count):
            directory = Path(self._directory.name) / f"lane-{number}"
            directory.mkdir()
            self._free.put(self._ends.enter_context(Lane(directory, self._bug)))
        return self

    def __exit__(self, *_: object) -> None:
        self._ends.close()

    def count(self, script: str) -> Counter[str]:
        """The durable calls of a life without a strike."""
        life = self._live(script)
        assert not life.violations, life.violations
        return life.calls

    def strike(self, strike: Strike) -> Outcome:
        life = self._live(strike.script, strike)
        return Outcome(strike, life.struck, life.violations, life.ledger.refusals)

    def _live(self, script: str, strike: Strike | None = None) -> Life:
        lane = self._free.get()
        try:
            return lane.live(script, strike)
        finally:
            self._free.put(lane)


def told(outcome: Outcome) -> str:
    lines = [f"{outcome.strike.script}: {outcome.strike.injection}: {outcome.struck}"]
    return "\n  ".join([*lines, *outcome.violations])


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.steps", description=__doc__)
    parser.add_argument("--lanes", type=int, default=2, help="lives at once")
    parser.add_argument("--script", choices=sorted(SCRIPTS), action="append", help="[default: all]")
    parser.add_argument("--call", choices=DURABLE, action="append", help="[default: all]")
    parser.add_argument("--fault", choices=FAULTS, action="append", help="[default: all]")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this one first")
    given = parser.parse_args(arguments)
    reason = missing()
    if reason is not None:
        print(f"Not done: {reason}.")
        return 1
    began = time.monotonic()
    bad = 0
    with Lanes(given.lanes, given.bug) as lanes, ThreadPoolExecutor(given.lanes) as threads:
        for script in given.script or SCRIPTS:
            counted = lanes.count(script)
            calls = Counter({call: counted[call] for call in given.call or counted})
            outcomes = []
            for outcome in threads.map(lanes.strike, strikes(script, calls, given.fault or FAULTS)):
                outcomes.append(outcome)
                if outcome.violations:
                    print(told(outcome), flush=True)
            bad += _summary(script, outcomes)
    print(f"{bad} strikes with violations; {time.monotonic() - began:.0f} s")
    return 1 if bad else 0


def _summary(script: str, outcomes: Sequence[Outcome]) -> int:
    hit = [one for one in outcomes if one.struck]
    bad = sum(bool(one.violations) for one in outcomes)
    for fault in FAULTS:
        calls = Counter(one.strike.call for one in hit if one.strike.fault == fault)
        refusals = Counter(status for one in hit if one.strike.fault == fault for status in one.refusals)
        if calls:
            print(f"{script}, {fault}: {calls.total()} strikes {dict(calls)}; refused with {dict(refusals)}")
    print(f"{script}: {len(hit)} strikes, {bad} with violations", flush=True)
    return bad


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

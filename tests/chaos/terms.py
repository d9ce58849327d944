"""Two controllers on one PostgreSQL database: the one that leads is killed, stopped, or loses the database.

A user insists all the while. Nothing promised may be lost or be there twice, the other controller answers
soon, and one that was deposed answers nothing any more.

``python -m tests.chaos.terms [--kills N] [--stops N] [--crashes N]``
"""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from attrs import define, field

from dpip.backup import dump
from dpip.datastore.postgres import PostgresDatabase
from tests.chaos.fork_server import ForkedController, ForkServer
from tests.chaos.ledger import Ledger, Order, check_disk
from tests.chaos.workers import IMPATIENT
from tests.datastore import postgres_server
from tests.system.plain_client import PlainClient
from tests.system.processes import Process, free_port, wait_until

_DEPOSED: Final = 75
_REQUEST_SECONDS: Final = 2.0
_SOON: Final = {"kill": 2.0, "stop": 15.0, "crash": 15.0}
"""Seconds after which the other one must answer, on an idle machine."""
_SILENT_SECONDS: Final = 1.5
"""For so long nothing may come from a controller that goes on after it was stopped."""


def missing() -> str | None:
    """Why this cannot run here; None when it can."""
    return postgres_server.why_not()


@define(eq=False)
class Seat:
    """A controller's place: its ports and state directory, and the process that is there now."""

    state: Path
    http: int = field(factory=free_port)
    pb: int = field(factory=free_port)
    process: ForkedController | None = None


@define(eq=False, slots=False)
class Pair:
    """Both controllers, a worker and the database: a context manager. ``gaps`` are seconds without answer."""

    gaps: list[tuple[str, float]] = field(factory=list)
    wrong: list[str] = field(factory=list)
    _ends: ExitStack = field(factory=ExitStack, init=False)

    def __enter__(self) -> Pair:
        name = self._ends.enter_context(
            tempfile.TemporaryDirectory(prefix="dpip-terms-", ignore_cleanup_errors=True)
        )
        os.chmod(name, 0o755)
        self.directory = Path(name)
        self.server = postgres_server.Server(self.directory / "server", fsync="on", full_page_writes="on")
        self.server.make()
        self.server.start()
        self._ends.callback(self.server.stop)
        self.server.ask("CREATE DATABASE dpip")
        self.fork_server = self._ends.enter_context(ForkServer(self.directory))
        self.leading, self.other = (Seat(self.directory / name) for name in ("a", "b"))
        self._start(self.leading)
        assert self.leading.process is not None
        assert self.leading.process.ready(), self.leading.process.log
        self._start(self.other)
        self.worker = self._worker()
        self.ledger = Ledger(self.leading.http, revive=self._ask_the_other)
        self._ask_the_other(swap=False)
        self.ledger.log_in()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.kill()
        self._ends.close()

    def _start(self, seat: Seat) -> None:
        seat.process = self.fork_server.start(
            *("--database", self.server.url("dpip"), "--state-dir", str(seat.state)),
            *("--store", str(self.directory / "images"), "--disk-floor", "1M"),
            *("--http", f"127.0.0.1:{seat.http}", "--pb", f"127.0.0.1:{seat.pb}"),
        )

    def _worker(self) -> Process:
        addresses = ",".join(f"127.0.0.1:{seat.pb}" for seat in (self.leading, self.other))
        return Process(
            self.directory,
            "worker",
            *("dpip-worker", "--worker-name", "worker", "--slots", "1", "--controller", addresses),
            *("--state-dir", str(self.leading.state)),
            program=IMPATIENT,
        )

    def _ask_the_other(self, swap: bool = True) -> None:
        """The user's next request goes to the other address."""
        ports = {self.leading.http, self.other.http} - ({self.ledger.client.port} if swap else set())
        client = PlainClient(ports.pop() if swap else self.leading.http, timeout=_REQUEST_SECONDS)
        client.token = self.ledger.client.token
        self.ledger.client = client
        time.sleep(0.02)

    def _stands_by(self, seat: Seat) -> bool:
        assert seat.process is not None
        return "this one stands by" in seat.process.log

    def strike(self, how: str, order: Order) -> None:
        """One strike at the leader; then the user goes on, and the other one leads."""
        wait_until(lambda: self._stands_by(self.other), "a controller that stands by")
        victim, process = self.leading, self.leading.process
        assert process is not None
        began = time.monotonic()
        if how == "crash":
            self.server.kill()
            self.server.start()
        else:
            process.send(signal.SIGKILL if how == "kill" else signal.SIGSTOP)
        self.ledger.upload(order)
        self.gaps.append((how, time.monotonic() - began))
        if how == "stop":
            self._go_on(victim, process)
        if how != "kill" and process.end(0) != _DEPOSED:
            self.wrong.append(f"the deposed controller ended with {process.status}:\n{process.log[-2000:]}")
        self._succeed(victim)

    def _succeed(self, victim: Seat) -> None:
        """Whoever answers now leads; the other place is filled again."""
        if self.ledger.client.port == victim.http:
            self.wrong.append("the victim answers")
        self.leading, self.other = self.other, self.leading
        self._start(self.other)

    def _go_on(self, victim: Seat, process: ForkedController) -> None:
        """Ask the stopped one, let it go on, and hear whether it answers what it must not know any more."""
        with socket.create_connection(("127.0.0.1", victim.http), timeout=_SILENT_SECONDS) as asking:
            token = self.ledger.client.token
            asking.sendall(
                f"GET /workloads HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n\r\n".encode()
            )
            process.send(signal.SIGCONT)
            try:
                answer = asking.recv(1000)
            except OSError:
                return
        if answer:
            self.wrong.append(f"a deposed controller answers {answer[:60]!r}")

    def check(self) -> list[str]:
        """What is wrong in the end, by the API and in the database and the store."""
        self.ledger.check()
        for seat in (self.leading, self.other):
            if seat.process is not None and seat.process.end() != 0:
                self.wrong.append(f"a controller did not end in good order:\n{seat.process.log[-2000:]}")
        copy = self.directory / "copy"
        copy.mkdir()
        dump(PostgresDatabase(self.server.url("dpip")), copy / "dpip.sqlite")
        (copy / "images").symlink_to(self.directory / "images")
        return [*self.wrong, *self.ledger.violations, *check_disk(copy)]


def change_terms(kills: int = 0, stops: int = 0, crashes: int = 0) -> tuple[list[str], Pair]:
    """Strike so many times; what is wrong, and how long the gaps were."""
    with Pair() as pair:
        order = pair.ledger.order()
        for how in ("kill",) * kills + ("stop",) * stops + ("crash",) * crashes:
            for _ in range(3):
                pair.ledger.upload(order)
            pair.strike(how, order)
        return pair.check(), pair


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    for name, default in (("kills", 20), ("stops", 10), ("crashes", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    wrong, pair = change_terms(**vars(parser.parse_args()))
    for how, soon in _SOON.items():
        gaps = sorted(gap for each, gap in pair.gaps if each == how)
        if gaps:
            late, median = sum(gap > soon for gap in gaps), gaps[len(gaps) // 2]
            print(f"{how:6}{len(gaps):4} × up to {gaps[-1]:.2f} s, median {median:.2f}; {late} late")
    print(*(wrong or ["nothing promised was lost, nothing is there twice"]), sep="\n")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

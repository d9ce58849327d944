"""Controllers by the hundred: one process loads all modules, and each controller is a fork of it.

Loading takes most of a controller's start. What runs then is the real one, in a process of its own. Where
``one_thread`` is asked for, the work of its threads is done in turns of its reactor, so that all system calls
are made by one thread, in an order, and the n-th of them is the same in every life.

Run as a program it answers orders on its standard input, each a line of JSON.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from tests.simulation.planted import planted
from tests.system.processes import PASSWORD, REPOSITORY, wait_until

_PR_SET_PDEATHSIG: Final = 1


class Turns:
    """Threads, as the product asks for them, that are none: each piece of work is a turn of the reactor."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor
        self._work: deque[Callable[[], object]] = deque()

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Returns when all that was asked for before is done, as real threads do."""
        while self._work:
            self._do_one()

    def callInThread(self, func: Callable[..., Any], *args: Any) -> None:
        self._work.append(partial(func, *args))
        self._reactor.callLater(0, self._do_one)

    def _do_one(self) -> None:
        if self._work:
            self._work.popleft()()


class ForkedController:
    """One controller that the server has made. ``held``: it begins when it is told to."""

    def __init__(self, server: ForkServer, pid: int, log_path: Path) -> None:
        self._server = server
        self.pid = pid
        self.log_path = log_path
        self.status: int | None = None

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def begin(self) -> None:
        self._server.order({"begin": self.pid})

    def ended(self) -> bool:
        """Its status is known then, as ``Popen.returncode``."""
        if self.status is None:
            self.status = self._server.order({"ended": self.pid})
        return self.status is not None

    def ready(self) -> bool:
        """Waits until it is, or has ended."""
        wait_until(lambda: "Ready: " in self.log or self.ended(), "a controller's start", every=0.005)
        return not self.ended()

    def send(self, number: int) -> None:
        if not self.ended():
            os.kill(self.pid, number)

    def end(self, number: int = signal.SIGTERM) -> int:
        self.send(number)
        wait_until(self.ended, f"the end of {self.log_path}", every=0.005)
        assert self.status is not None
        return self.status


class ForkServer:
    """A context manager; with it all its controllers end. ``bug`` is one of ``simulation.planted``."""

    def __init__(self, directory: Path, bug: str | None = None) -> None:
        self._directory = directory
        self._count = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.fork_server", *([bug] if bug else [])],
            cwd=REPOSITORY,
            env={**os.environ, "DPIP_ADMIN_PASSWORD": PASSWORD},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._children: list[ForkedController] = []

    def __enter__(self) -> ForkServer:
        self.order({})  # answered when all is loaded
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.end(signal.SIGKILL)
        self._process.communicate()

    def order(self, words: dict[str, Any]) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps(words), file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())

    def start(self, *arguments: str, held: bool = False, one_thread: bool = False) -> ForkedController:
        """A controller with these arguments."""
        self._count += 1
        log = self._directory / f"controller-{self._count}.log"
        log.touch()
        words = {"start": arguments, "log": str(log), "held": held, "one_thread": one_thread}
        pid = self.order(words)
        child = ForkedController(self, pid, log)
        self._children = [*(one for one in self._children if one.status is None), child]
        return child


def _live(arguments: Sequence[str], log: Path, one_thread: bool) -> None:
    """The whole life of a controller, in the process that this is now."""
    from twisted.internet import reactor
    from twisted.logger import globalLogBeginner, textFileLogObserver

    from dpip.controller.options import ControllerOptions
    from dpip.controller.service import ControllerService
    from dpip.controller.tap import build
    from dpip.runtime.host import Host
    from dpip.runtime.startup import end_process

    type(reactor).__init__(reactor)  # the one before the fork shares its epoll descriptor with all others
    out = log.open("a", buffering=1)
    globalLogBeginner.beginLoggingTo([textFileLogObserver(out)], redirectStandardIO=False)
    options = ControllerOptions()
    options.parseOptions(arguments)
    host = Host(make_threads=lambda most, name, nice=0: Turns(reactor)) if one_thread else Host()
    service = ControllerService(options, reactor, partial(build, host=host))
    service.ready.addErrback(end_process, reactor)
    service.startService()
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()


def _born(order: dict[str, Any]) -> tuple[int, int]:
    """Its process id, and the descriptor at which one byte lets it begin."""
    waits, begin = os.pipe()
    pid = os.fork()
    if pid:
        os.close(waits)
        if not order["held"]:
            _let_begin(begin)
        return pid, begin
    status = 1
    try:
        os.setsid()
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # no server, no children
        os.close(begin)
        null, log = os.open(os.devnull, os.O_RDWR), os.open(order["log"], os.O_WRONLY | os.O_APPEND)
        for descriptor, source in ((0, null), (1, log), (2, log)):
            os.dup2(source, descriptor)
        os.read(waits, 1)
        _live(order["start"], Path(order["log"]), order["one_thread"])
        status = 0
    except SystemExit as end:
        print(end, file=sys.stderr, flush=True)
    except BaseException:  # noqa: BLE001 - this process must never go on as the server
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


def _let_begin(descriptor: int) -> None:
    os.write(descriptor, b".")
    os.close(descriptor)


def main(bugs: Sequence[str]) -> None:
    import dpip.controller.tap  # noqa: F401 - what every fork then has
    from dpip.runtime.gc import tune_gc

    tune_gc()
    with ExitStack() as stack:
        for bug in bugs:
            stack.enter_context(planted(bug))
        _obey()


def _obey() -> None:
    held: dict[int, int] = {}
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        if "start" in order:
            answer, begin = _born(order)
            if order["held"]:
                held[answer] = begin
        elif "begin" in order:
            _let_begin(held.pop(order["begin"]))
        elif "ended" in order:
            pid, status = os.waitpid(order["ended"], os.WNOHANG)
            answer = os.waitstatus_to_exitcode(status) if pid else None
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

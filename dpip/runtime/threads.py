"""Where blocking work runs: real threads, or the caller's own in tests and simulations."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from functools import partial
from queue import SimpleQueue
from threading import Thread, get_native_id
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

T = TypeVar("T")
_Work = Callable[[], object]


class FromThreads(Protocol):
    """The part of a reactor that is needed here."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None: ...


class Threads(Protocol):
    """The part of a ``ThreadPool`` that is needed here."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def callInThread(self, func: Callable[..., Any], *args: Any) -> Any: ...


class MakeThreads(Protocol):
    """Makes up to ``most`` threads of this name, which start with ``start()``. The higher ``nice``, the lower
    is their priority."""

    def __call__(self, most: int, name: str, nice: int = 0) -> Threads: ...


class RealThreads:
    """A pool of ``most`` threads with one queue.

    Twisted's pool decides for each call whether to start or to end a thread, and copies the caller's log
    context: that costs more than most of what is done in threads here.
    """

    log = Logger()

    def __init__(self, most: int, name: str, nice: int = 0) -> None:
        self._most = most
        self._name = name
        self._nice = nice
        self._work: SimpleQueue[_Work | None] = SimpleQueue()
        self._threads: list[Thread] = []

    def start(self) -> None:
        """Start the threads, which do not keep the process from ending."""
        self._threads = [
            Thread(target=self._run, name=f"{self._name}-{number}", daemon=True)
            for number in range(self._most)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Return when all calls made before are done."""
        for _ in self._threads:
            self._work.put(None)
        for thread in self._threads:
            thread.join()
        self._threads = []

    def callInThread(self, func: Callable[..., Any], *args: Any) -> None:
        self._work.put(partial(func, *args))

    def _run(self) -> None:
        if self._nice and sys.platform == "linux":  # elsewhere it would be the whole process
            os.setpriority(os.PRIO_PROCESS, get_native_id(), self._nice)
        while (work := self._work.get()) is not None:
            try:
                work()
            except Exception:  # noqa: BLE001 - the thread must go on
                self.log.failure("Work in thread {name} failed", name=self._name)


class InlineThreads:
    """No threads: each call is done before it returns. It is its own reactor, too."""

    def __init__(self, most: int = 1, name: str = "", nice: int = 0) -> None:
        pass

    def start(self) -> None:
        pass

    def stop(self) -> None:
        pass

    def callInThread(self, func: Callable[..., Any], *args: Any) -> None:
        func(*args)

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        callable(*args, **kwargs)


def in_thread(reactor: FromThreads, threads: Threads, function: Callable[..., T], *args: Any) -> Deferred[T]:
    """Call the function in one of the threads; the Deferred fires in the reactor's."""
    done: Deferred[T] = Deferred()

    def work() -> None:
        try:
            result: T | Failure = function(*args)
        except BaseException:  # noqa: BLE001 - whatever it is, the caller waits for it
            result = Failure()
        reactor.callFromThread(done.callback, result)

    threads.callInThread(work)
    return done

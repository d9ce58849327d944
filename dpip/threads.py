"""Where blocking work runs, as an argument: real threads, or the caller's own for tests and simulations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

T = TypeVar("T")


class FromThreads(Protocol):
    """The part of a reactor that is needed here."""

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None: ...


class Threads(Protocol):
    """The part of a ``ThreadPool`` that is needed here."""

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def callInThread(self, func: Callable[..., Any], *args: Any) -> Any: ...


MakeThreads = Callable[[int, str], Threads]
"""Makes up to so many threads of this name; they start with ``start()``."""


def thread_pool(most: int, name: str) -> ThreadPool:
    """Real threads."""
    return ThreadPool(minthreads=0, maxthreads=most, name=name)


class InlineThreads:
    """No threads: everything is done before the call returns. It is its own reactor, too."""

    def __init__(self, most: int = 1, name: str = "") -> None:
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
    """Call the function in one of the threads; its result or exception arrives in the reactor's."""
    done: Deferred[T] = Deferred()

    def work() -> None:
        try:
            result: T | Failure = function(*args)
        except BaseException:  # noqa: BLE001 - whatever it is, somebody waits for it
            result = Failure()
        reactor.callFromThread(done.callback, result)

    threads.callInThread(work)
    return done

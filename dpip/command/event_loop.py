"""Running a command's coroutine under the reactor, until it has cleaned up."""

from __future__ import annotations

import signal
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.python.failure import Failure

T = TypeVar("T")


def run(main: Callable[[Any], Coroutine[Any, Any, T]]) -> T:
    """Run ``main(reactor)``; returns its result, or raises its exception.

    Ctrl-C, SIGTERM and SIGHUP cancel the coroutine; the reactor runs until it has cleaned up.
    Raises KeyboardInterrupt then.
    """
    results: list[T | Failure] = []
    interrupted = False

    async def supervise(reactor: Any) -> None:
        over: Deferred[None] = Deferred()
        work = Deferred.fromCoroutine(main(reactor))

        def stopping() -> Deferred[None]:
            nonlocal interrupted
            interrupted = not results
            work.cancel()
            return over

        reactor.addSystemEventTrigger("before", "shutdown", stopping)
        if hasattr(signal, "SIGHUP"):  # the terminal is closed; the reactor handles only Ctrl-C and SIGTERM
            signal.signal(signal.SIGHUP, lambda *_: reactor.callFromThread(reactor.stop))
        await work.addBoth(results.append)
        over.callback(None)

    with suppress(SystemExit):  # react always raises it; the outcome is in ``results``
        react(supervise)
    if interrupted:
        raise KeyboardInterrupt
    (result,) = results
    if isinstance(result, Failure):
        result.raiseException()
    return result

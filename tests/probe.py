"""How long the reactor is busy without a break, in CPU time: wall-clock time would blame the machine."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from attrs import define


@define
class Longest:
    """``seconds`` of CPU time in the longest turn of the reactor so far."""

    seconds: float = 0.0


@contextmanager
def watched(reactor: Any) -> Iterator[Longest]:
    """Measure every turn of the reactor within the block.

    A turn is what runs between two waits for events: all events that were due, so it is at least as long as
    the longest single callback.
    """
    longest = Longest()

    def measured(function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*arguments)
            finally:
                longest.seconds = max(longest.seconds, time.thread_time() - start)

        return run

    reactor.runUntilCurrent = measured(reactor.runUntilCurrent)
    reactor.doIteration = measured(reactor.doIteration)
    try:
        yield longest
    finally:
        del reactor.runUntilCurrent, reactor.doIteration

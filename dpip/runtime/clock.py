"""Timers that go on when the machine's clock is set back.

Twisted's timers follow that clock: when it is set back an hour, they stand still for an hour, and with them
retries, heartbeats and deadlines. When it is set forward they are early, which costs a retry or two.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import Thread
from typing import Any, Final

from twisted.logger import Logger

LOOK_SECONDS: Final = 1.0
_LEAST: Final = 1.0
"""Seconds; timers may be late by less."""

log = Logger()


def keep_timers_going(
    reactor: Any, wall_clock: Callable[[], float] = time.time, monotonic: Callable[[], float] = time.monotonic
) -> None:
    """Correct the timers from the reactor's start on.

    A thread compares the clocks, since a timer of the reactor would stand still, too.
    """
    watching = Thread(target=_watch, args=(reactor, wall_clock, monotonic), name="clock", daemon=True)
    reactor.callWhenRunning(watching.start)


def _watch(reactor: Any, wall_clock: Callable[[], float], monotonic: Callable[[], float]) -> None:
    ahead = wall_clock() - monotonic()
    while True:
        time.sleep(LOOK_SECONDS)
        before, ahead = ahead, wall_clock() - monotonic()
        if before - ahead >= _LEAST:
            reactor.callFromThread(catch_up, reactor, before - ahead)


def catch_up(reactor: Any, back: float) -> None:
    """Make timers due ``back`` seconds sooner, after the clock was just set back by so many.

    Those that are due within that time were set since.
    """
    log.warn("The clock was set back by {back:.1f} s; timers go on as if it had not been", back=back)
    earliest = reactor.seconds() + back - LOOK_SECONDS
    for timer in reactor.getDelayedCalls():
        if timer.getTime() >= earliest:
            timer.delay(-back)

"""Simulated time: one heap of events, each owned by a process that may hang or die before its event comes."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any, Protocol

from twisted.internet.error import AlreadyCalled, AlreadyCancelled
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer


class Owner(Protocol):
    """Whose events these are."""

    name: str
    dead: bool
    hung_until: float


class Killed(BaseException):
    """The process that runs has been killed: nothing of it goes on."""


@implementer(IDelayedCall)
class Timer:
    """An event to come. ``at`` is in the simulation's own time, whatever the clocks of its machines show."""

    __slots__ = ("_args", "_clock", "_function", "_kwargs", "_shown", "at", "order", "owner", "state")

    def __init__(
        self, clock: Clock, owner: Owner, at: float, function: Any, args: Any, kwargs: Any, shown: Any
    ) -> None:
        self.owner = owner
        self.at = at
        self.order = 0
        self.state = "waiting"
        self._clock = clock
        self._shown = shown
        self._function, self._args, self._kwargs = function, args, kwargs

    def fire(self) -> None:
        self.state = "called"
        function, args, kwargs = self._function, self._args, self._kwargs
        self._function = self._args = self._kwargs = None
        function(*args, **kwargs)

    def active(self) -> bool:
        return self.state == "waiting"

    def cancel(self) -> None:
        self._check()
        self.state = "cancelled"
        self._function = self._args = self._kwargs = None

    def reset(self, secondsFromNow: float) -> None:
        self._check()
        self._clock.move(self, self._clock.now + secondsFromNow)

    def delay(self, secondsLater: float) -> None:
        self._check()
        self._clock.move(self, self.at + secondsLater)

    def getTime(self) -> float:
        """As the owner's clock shows it."""
        return float(self._shown(self.at))

    def _check(self) -> None:
        if self.state == "called":
            raise AlreadyCalled
        if self.state == "cancelled":
            raise AlreadyCancelled


class Clock:
    """``running`` is the process whose event is being carried out."""

    log = Logger()

    def __init__(self) -> None:
        self.now = 0.0
        self.running: Owner | None = None
        self.events = 0
        self._heap: list[tuple[float, int, Timer]] = []
        self._order = 0

    def call(
        self,
        owner: Owner,
        delay: float,
        function: Callable[..., Any],
        *args: Any,
        **kwargs: Any,
    ) -> Timer:
        """``function`` will be called as an event of ``owner``."""
        return self.schedule(Timer(self, owner, self.now + delay, function, args, kwargs, float))

    def schedule(self, timer: Timer) -> Timer:
        self._order += 1
        timer.order = self._order
        heappush(self._heap, (timer.at, timer.order, timer))
        return timer

    def move(self, timer: Timer, at: float) -> None:
        timer.at = max(at, self.now)
        self.schedule(timer)

    def run(self, until: float, enough: Callable[[], bool]) -> None:
        """Carry out events up to that time, or until it is ``enough``."""
        while self._heap and not enough():
            at, order, timer = self._heap[0]
            if at > until:
                break
            heappop(self._heap)
            if timer.order != order or timer.state != "waiting" or timer.owner.dead:
                continue
            if timer.owner.hung_until > at:
                self.move(timer, timer.owner.hung_until)
                continue
            self.now = at
            self._carry_out(timer)
        else:
            return
        self.now = until

    def _carry_out(self, timer: Timer) -> None:
        self.events += 1
        self.running = timer.owner
        try:
            timer.fire()
        except Killed:
            pass
        except Exception:  # noqa: BLE001 - as a reactor does
            self.log.failure("An event failed")
        finally:
            self.running = None

    def pending(self, owner: Owner) -> list[Timer]:
        return [
            timer
            for _, order, timer in sorted(self._heap, key=lambda entry: entry[:2])
            if timer.owner is owner and timer.order == order and timer.active()
        ]

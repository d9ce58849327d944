"""Refusals that a user may cause as fast as they are answered are answered late."""

from __future__ import annotations

from attrs import define, field
from cachetools import LRUCache
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.errors import QuotaExceeded, TooMany

LIMITS = (QuotaExceeded, TooMany)
"""What is refused to users that have all that one may have. They can do nothing but ask again."""
_USERS = 10_000


@define
class LateRefusals:
    """After ``at_once`` refusals a user is refused ``each_second`` times a second; none waits for longer than
    ``longest`` seconds. So whoever asks again and again costs the others next to nothing."""

    clock: IReactorTime
    at_once: int = 50
    each_second: float = 10.0
    longest: float = 30.0
    _next: LRUCache[str, float] = field(factory=lambda: LRUCache(_USERS), init=False)

    def turn(self, user: str) -> Deferred[None]:
        """Return what fires when the user may be refused once more."""
        now = self.clock.seconds()
        turn = max(self._next.get(user, now), now)
        self._next[user] = turn + 1 / self.each_second
        wait = min(turn - now - (self.at_once - 1) / self.each_second, self.longest)
        return deferLater(self.clock, wait) if wait > 0 else succeed(None)

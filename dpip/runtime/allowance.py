"""An allowance that is used up by use and comes back with time, for each of many names."""

from __future__ import annotations

from collections.abc import Callable

from attrs import Factory, define, field
from cachetools import LRUCache


@define
class Allowances:
    """Each name may use ``most`` at once, and ``each_second`` comes back; so many names are remembered.

    ``seconds()`` is any clock that never goes back.
    """

    seconds: Callable[[], float]
    most: float
    each_second: float
    names: int = 10_000
    _used: LRUCache[str, tuple[float, float]] = field(  # how much, as of when
        default=Factory(lambda self: LRUCache(self.names), takes_self=True), init=False
    )

    def take(self, name: str, amount: float = 1.0) -> bool:
        """Use some of it. False when too little was left; then all of it is there again, for the next time
        that somebody counts."""
        now = self.seconds()
        used, at = self._used.get(name, (0.0, now))
        used = max(0.0, used - self.each_second * (now - at)) + amount
        enough = used <= self.most
        self._used[name] = (used if enough else 0.0), now
        return enough

    def is_left(self, name: str, amount: float = 1.0) -> bool:
        """Use some of it if there is enough, and nothing else."""
        now = self.seconds()
        used, at = self._used.get(name, (0.0, now))
        used = max(0.0, used - self.each_second * (now - at))
        enough = used + amount <= self.most
        self._used[name] = (used + amount if enough else used), now
        return enough

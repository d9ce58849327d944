"""When a workload will be done: the work left ÷ its recent pace.

Work is counted in sizes (``costs.Chain.size``): the jobs of a workload have one filter chain, so their time
is proportional to them. The measured pace includes transfers and what other users take. Until there is one,
the chain's cost in other workloads gives a guess.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from attrs import define, field

from dpip.model import Eta

_MARKS = 64  # points of the past that are kept; when there are more, every second one goes
_FIRST_INTERVAL = 0.05  # seconds between marks at first
_RECENT = 0.5  # the part of the time since the first mark that counts
_PARTS = 4  # of that time: the slowest and the fastest part give the range
_LEAST_MARKS = 5
_DOUBT = 1.15  # the range is at least this factor to either side
_GUESSED = 4.0  # the same, when nothing has been measured
_STALLED = 3.0  # mean pauses between marks without an ended job: then the time since counts as well


@define(eq=False, repr=False)
class Forecast:
    """``remaining`` is the size of what has not ended."""

    remaining: int = 0
    _done: int = 0
    _interval: float = _FIRST_INTERVAL
    _marks: list[tuple[float, int]] = field(factory=list)  # (time, size done by then)
    _last: float = 0.0

    def added(self, size: int) -> None:
        if not self.remaining:  # it had no jobs: that time says nothing about its pace
            self._marks.clear()
            self._interval = _FIRST_INTERVAL
        self.remaining += size

    def ended(self, size: int, now: float) -> None:
        """Count a job of this size that is done or has failed."""
        self.remaining -= size
        self._done += size
        self._last = now
        if not self._marks or now - self._marks[-1][0] >= self._interval:
            self._marks.append((now, self._done))
            if len(self._marks) > _MARKS:
                self._marks = self._marks[::2]
                self._interval *= 2

    def eta(self, now: float, guess: Callable[[], float] | None) -> Eta | None:
        """Return the estimate, None if no worker can do it. ``guess()`` gives the size done each second as
        other workloads suggest; it is None when no worker can do it."""
        if not self.remaining:
            return Eta(0.0, 0.0, 0.0)
        if guess is None:
            return None
        rates = list(self._rates(now))
        if not rates:
            guessed = guess()
            return _eta(self.remaining, guessed, guessed / _GUESSED, guessed * _GUESSED)
        mean, *parts = rates
        return _eta(self.remaining, mean, min(mean / _DOUBT, *parts), max(mean * _DOUBT, *parts))

    def pace(self, now: float) -> float:
        """Return the recent size each second; 0 when too little has been seen."""
        return next(self._rates(now), 0.0)

    def _rates(self, now: float) -> Iterator[float]:
        """Yield the recent size each second, then that in each part of the time; nothing if too few marks."""
        if len(self._marks) < _LEAST_MARKS:
            return
        first, last = self._marks[0][0], self._marks[-1][0]
        recent = [mark for mark in self._marks if mark[0] >= last - (last - first) * _RECENT]
        marks = recent if len(recent) >= _LEAST_MARKS else self._marks[-_LEAST_MARKS:]
        pause = (marks[-1][0] - marks[0][0]) / (len(marks) - 1)
        stalled = now - self._last > _STALLED * pause
        yield _rate(marks[0], (now, self._done) if stalled else marks[-1])
        steps = [marks[(len(marks) - 1) * part // _PARTS] for part in range(_PARTS + 1)]
        for begin, end in pairwise(steps):
            yield _rate(begin, end)


def _rate(begin: tuple[float, int], end: tuple[float, int]) -> float:
    return (end[1] - begin[1]) / (end[0] - begin[0])


def _eta(remaining: int, likely: float, slow: float, fast: float) -> Eta:
    """Return the estimate. The upper bound is ten times the likely value at most."""
    seconds = remaining / likely
    return Eta(seconds, remaining / fast, min(remaining / max(slow, 1e-9), 10 * seconds))

"""When a workload will be done: what is left of it, over how fast it has been getting done lately.

Work is counted in sizes (``costs.size_of``), to which the time of a workload's jobs is proportional: they
have one filter chain. What was measured holds everything that a job's way takes, transfers and other users'
share too; before anything was measured there is only what the chain has cost elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise

from attrs import define, field

from dpip.model import Eta

_MARKS = 64
"""Points of the past that are kept; when there are more, every second one goes."""
_FIRST_INTERVAL = 0.05  # seconds between marks at first
_LATELY = 0.5  # the part of the time since the first mark that counts
_PARTS = 4  # of that time: how differently fast they were tells how far to trust the mean
_LEAST_MARKS = 5
_DOUBT = 1.15  # at the very least: the range is by that factor to either side
_GUESSED = 4.0  # the same, when nothing has been measured
_STALLED = 3.0  # mean pauses between marks without an end: then waiting counts as well


@define(eq=False, repr=False)
class Forecast:
    """``remaining`` is the size of what has not ended."""

    remaining: int = 0
    _done: int = 0
    _interval: float = _FIRST_INTERVAL
    _marks: list[tuple[float, int]] = field(factory=list)  # (time, size done by then)
    _last: float = 0.0

    def added(self, size: int) -> None:
        if not self.remaining:  # it had nothing to do: that time says nothing about its pace
            self._marks.clear()
            self._interval = _FIRST_INTERVAL
        self.remaining += size

    def ended(self, size: int, now: float) -> None:
        """A job, well or badly."""
        self.remaining -= size
        self._done += size
        self._last = now
        if not self._marks or now - self._marks[-1][0] >= self._interval:
            self._marks.append((now, self._done))
            if len(self._marks) > _MARKS:
                self._marks = self._marks[::2]
                self._interval *= 2

    def eta(self, now: float, guess: Callable[[], float] | None) -> Eta | None:
        """``guess`` gives the size done each second as known from elsewhere; None: nobody can do it."""
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
        """Size each second, lately; 0 when too little has been seen."""
        return next(self._rates(now), 0.0)

    def _rates(self, now: float) -> Iterator[float]:
        """Size each second, lately, and in parts of that time; nothing when too little has been seen."""
        if len(self._marks) < _LEAST_MARKS:
            return
        first, last = self._marks[0][0], self._marks[-1][0]
        lately = [mark for mark in self._marks if mark[0] >= last - (last - first) * _LATELY]
        marks = lately if len(lately) >= _LEAST_MARKS else self._marks[-_LEAST_MARKS:]
        pause = (marks[-1][0] - marks[0][0]) / (len(marks) - 1)
        stalled = now - self._last > _STALLED * pause
        yield _rate(marks[0], (now, self._done) if stalled else marks[-1])
        steps = [marks[(len(marks) - 1) * part // _PARTS] for part in range(_PARTS + 1)]
        for begin, end in pairwise(steps):
            yield _rate(begin, end)


def _rate(begin: tuple[float, int], end: tuple[float, int]) -> float:
    return (end[1] - begin[1]) / (end[0] - begin[0])


def _eta(remaining: int, likely: float, slow: float, fast: float) -> Eta:
    """Nothing that takes ten times as long as is likely is worth a promise."""
    seconds = remaining / likely
    return Eta(seconds, remaining / fast, min(remaining / max(slow, 1e-9), 10 * seconds))

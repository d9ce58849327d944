"""How far a run is, on a terminal: one line each for what goes up, what is filtered, what is written."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from dpip.client import ClientError, Counts
from dpip.command.progress import Display, Stage


@define(eq=False)
class RunDisplay:
    """``changed`` is to be called whenever a number has changed; ``now`` gives seconds that never go back.

    Without ``uploads`` nothing is said of them: the pictures stay on this machine.
    """

    display: Display
    filter: str
    now: Callable[[], float]
    total: int | None = None  # of this run; None while it is not known
    uploads: bool = True
    began: float = field(init=False)
    _up: Stage | None = field(init=False)
    _there: Stage = field(init=False)
    _down: Stage = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.began = self.now()
        self._up = self.display.begin("upload", "") if self.uploads else None
        self._there = self.display.begin("filter", self.filter)
        self._down = self.display.begin("save", "")

    def changed(self, counts: Counts) -> None:
        ended = counts.done + counts.failed
        of = "" if self.total is None else f" of {self.total}"
        if self._up is not None:
            self._up.show(f"{counts.uploaded}{of} uploaded", counts.uploaded, self.total)
        failed = f", {counts.failed} failed" if counts.failed else ""
        self._there.show(
            f"{counts.waiting} waiting, {counts.running} running, {counts.filtered} done{failed}",
            counts.filtered + counts.failed,
            self.total,
        )
        rate = self.rate(counts)
        left = ""
        if self.total is not None and rate > 0 and counts.done:
            left = f", {duration((self.total - ended) / rate)} left"
        self._down.show(f"{counts.done} saved, {figure(rate)} images/s{left}", ended, self.total)

    def trouble(self, error: ClientError) -> None:
        """A request failed and will be tried again."""
        self._there.say(f"waiting for the server: {error}")

    def rate(self, counts: Counts) -> float:
        """Images that ended, per second."""
        return (counts.done + counts.failed) / max(self.now() - self.began, 0.001)


def figure(number: float) -> str:
    """Two digits that count."""
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def duration(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

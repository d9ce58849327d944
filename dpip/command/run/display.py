"""How far a run is, on a terminal: one line each for what goes up, what is filtered, what is written."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click
from attrs import define, field

from dpip.client import ClientError, Counts
from dpip.command.progress import Display, Stage
from dpip.command.run.options import ExecutorOptions

if TYPE_CHECKING:  # a circle of types: an executor has a display, which shows the executor
    from dpip.command.run.executor import Executor

_COMPILING: Final = "Compiling"  # how the line of the log begins that tells of it


@define(eq=False)
class RunDisplay:
    """Shows the stages of a run on ``display``; ``total`` is the number of images, None while it is unknown.

    Without a server nothing is said of uploads: the images stay on this machine.
    """

    display: Display
    filter: str
    options: ExecutorOptions
    total: int | None = None
    now: Callable[[], float] = time.monotonic
    _began: float = field(default=0.0, init=False)
    _warned: bool = field(default=False, init=False)
    _starting: Stage | None = field(default=None, init=False)
    _up: Stage | None = field(default=None, init=False)
    _there: Stage | None = field(default=None, init=False)
    _down: Stage | None = field(default=None, init=False)

    def starting(self) -> None:
        """The compute processes of this machine are being started."""
        self._starting = self.display.begin("filters", "starting")

    def heard(self, line: str) -> None:
        """A compute process has said this."""
        if line.startswith(_COMPILING) and self._starting is not None:
            self._starting.say("compiling, once (up to a minute)")

    def begin(self, executor: Executor, ready: str = "") -> None:
        """Images are on their way from now on."""
        if self._starting is not None:
            self._starting.finish(ready)
        self._began = self.now()
        self._up = self.display.begin("upload", "") if self.options.login else None
        self._there = self.display.begin("filter", self.filter)
        self._down = self.display.begin("save", "")
        executor.changed = lambda: self._show(executor.counts)

    def expect(self, total: int) -> None:
        """There are so many images."""
        self.total = total

    def _show(self, counts: Counts) -> None:
        assert self._there is not None
        assert self._down is not None
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
        rate = ended / max(self.seconds, 0.001)
        left = ""
        if self.total is not None and counts.done:
            left = f", {duration((self.total - ended) / rate)} left"
        self._down.show(f"{counts.done} saved, {figure(rate)} images/s{left}", ended, self.total)

    def trouble(self, error: ClientError) -> None:
        """A request failed and will be tried again."""
        if self._there is not None:
            self._there.say(f"waiting for the server: {error}")
        if not self._warned:
            self._warned = True
            words = f"{error} Trying again for up to {duration(self.options.patience)}."
            click.echo(words, file=sys.stderr)

    @property
    def seconds(self) -> float:
        """How long images have been on their way."""
        return self.now() - self._began


def figure(number: float) -> str:
    """Two digits that count."""
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def duration(seconds: float) -> str:
    """``0:07``, ``12:30``, ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

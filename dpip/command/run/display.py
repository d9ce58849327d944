"""The progress of a run on a terminal: one line each for uploads, filtering and saving."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import click
from attrs import define, field, frozen

from dpip.client import ClientError, Counts
from dpip.command.progress import Display, Stage
from dpip.command.run.options import ExecutorOptions

if TYPE_CHECKING:  # a circle of types: an executor gets a display, which shows the executor
    from dpip.command.run.executor import Executor

_COMPILING: Final = "Compiling"  # the beginning of the log's line about it


@frozen
class Beside:
    """Images that are not this run's work: ``earlier`` were done by an earlier one, others are skipped."""

    earlier: int = 0
    skipped: int = 0


@define(eq=False)
class RunDisplay:
    """Shows the stages of a run on ``display``; ``total`` is the number of images, None while it is unknown.

    It includes those that earlier runs have done. Without a server there is no stage of uploads. Where
    ``display`` shows nothing, the stage that ``lines`` makes gets all in one line now and then.
    """

    display: Display
    filter: str
    options: ExecutorOptions
    total: int | None = None
    now: Callable[[], float] = time.monotonic
    lines: Callable[[], Stage | None] = lambda: None
    beside: Callable[[], Beside] = Beside
    _began: float = field(default=0.0, init=False)
    _warned: bool = field(default=False, init=False)
    _stalled: str = field(default="", init=False)
    _starting: Stage | None = field(default=None, init=False)
    _uploads: Stage | None = field(default=None, init=False)
    _filtering: Stage | None = field(default=None, init=False)
    _saving: Stage | None = field(default=None, init=False)
    _lines: Stage | None = field(default=None, init=False)

    def starting(self) -> None:
        """Show that the compute processes of this machine are being started."""
        self._starting = self.display.begin("filters", "starting")

    def heard(self, line: str) -> None:
        """Show what a compute process has said, if it is about compiling."""
        if line.startswith(_COMPILING) and self._starting is not None:
            self._starting.say("compiling, once (up to a minute)")

    def begin(self, executor: Executor, ready: str = "") -> None:
        """Show an executor's counts, from now on; ``ready`` is said of processes that were started."""
        if self._starting is not None:
            self._starting.finish(ready)
        self._began = self.now()
        self._uploads = self.display.begin("upload", "") if self.options.login else None
        self._filtering = self.display.begin("filter", self.filter)
        self._saving = self.display.begin("save", "")
        self._lines = self.lines()
        executor.changed = lambda: self._show(executor.counts)

    def expect(self, total: int) -> None:
        """Set the number of images."""
        self.total = total

    def stalled(self, why: str) -> None:
        """Say why nothing is being filtered; empty as soon as something is."""
        if why and why != self._stalled and self._lines is not None:
            self._lines.say(why)
        self._stalled = why

    def _show(self, counts: Counts) -> None:
        assert self._filtering is not None
        assert self._saving is not None
        beside = self.beside()
        of = "" if self.total is None else f" of {self.total}"
        filtered = beside.earlier + counts.filtered + counts.failed
        ended = beside.earlier + counts.done + counts.failed
        if self._uploads is not None:
            sent = beside.earlier + counts.uploaded
            refused = f", {counts.refused} refused" if counts.refused else ""
            self._uploads.show(f"{sent}{of} uploaded{refused}", sent + counts.refused, self.total)
        others = _others(counts, beside)
        waiting = f", {counts.waiting} waiting" if counts.waiting else ""
        self._filtering.show(
            f"{filtered}{of}, {counts.running} running{waiting}{others}", filtered, self.total
        )
        speed = self._speed(counts, ended)
        self._saving.show(f"{counts.done} saved{speed}", ended, self.total)
        if self._lines is not None and (ended or counts.running):
            self._lines.show(f"{ended}{of}, {counts.running} running{others}{speed}", ended, self.total)

    def _speed(self, counts: Counts, ended: int) -> str:
        """Format the rate and the time left, as far as something has been done and something goes on."""
        if self._stalled:
            return f"; {self._stalled}"
        seconds = max(self.seconds, 0.001)
        rate = f", {figure(counts.done / seconds)} images/s" if counts.done else ""
        here = counts.done + counts.failed
        if self.total is None or not here:
            return rate
        return f"{rate}, {duration(max(0, self.total - ended) * seconds / here)} left"

    def trouble(self, error: ClientError) -> None:
        """Show that a request has failed and will be tried again."""
        if self._filtering is not None:
            self._filtering.say(f"waiting for the server: {error}")
        if not self._warned:
            self._warned = True
            words = f"{error} Trying again for up to {duration(self.options.patience)}."
            click.echo(words, file=sys.stderr)

    @property
    def seconds(self) -> float:
        """The seconds since :meth:`begin`."""
        return self.now() - self._began


def _others(counts: Counts, beside: Beside) -> str:
    """Format the images that have failed, are skipped, or were done by an earlier run."""
    kinds = ((counts.failed, "failed"), (beside.skipped, "skipped"), (beside.earlier, "done earlier"))
    return "".join(f", {number} {kind}" for number, kind in kinds if number)


def figure(number: float) -> str:
    """Format a number with two significant digits, or more before the point."""
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def duration(seconds: float) -> str:
    """Format a duration as ``0:07``, ``12:30`` or ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

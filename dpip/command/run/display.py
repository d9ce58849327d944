"""The progress of a run on a terminal: one line each for uploads, filtering and saving."""

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

if TYPE_CHECKING:  # a circle of types: an executor gets a display, which shows the executor
    from dpip.command.run.executor import Executor

_COMPILING: Final = "Compiling"  # the beginning of the log's line about it


@define(eq=False)
class RunDisplay:
    """Shows the stages of a run on ``display``; ``total`` is the number of images, None while it is unknown.

    Without a server there is no line for uploads.
    """

    display: Display
    filter: str
    options: ExecutorOptions
    total: int | None = None
    now: Callable[[], float] = time.monotonic
    _began: float = field(default=0.0, init=False)
    _warned: bool = field(default=False, init=False)
    _starting: Stage | None = field(default=None, init=False)
    _uploads: Stage | None = field(default=None, init=False)
    _filtering: Stage | None = field(default=None, init=False)
    _saving: Stage | None = field(default=None, init=False)

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
        executor.changed = lambda: self._show(executor.counts)

    def expect(self, total: int) -> None:
        """Set the number of images."""
        self.total = total

    def _show(self, counts: Counts) -> None:
        assert self._filtering is not None
        assert self._saving is not None
        ended = counts.done + counts.failed
        of = "" if self.total is None else f" of {self.total}"
        if self._uploads is not None:
            self._uploads.show(f"{counts.uploaded}{of} uploaded", counts.uploaded, self.total)
        failed = f", {counts.failed} failed" if counts.failed else ""
        self._filtering.show(
            f"{counts.waiting} waiting, {counts.running} running, {counts.filtered} done{failed}",
            counts.filtered + counts.failed,
            self.total,
        )
        rate = ended / max(self.seconds, 0.001)
        left = ""
        if self.total is not None and counts.done:
            left = f", {duration((self.total - ended) / rate)} left"
        self._saving.show(f"{counts.done} saved, {figure(rate)} images/s{left}", ended, self.total)

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


def figure(number: float) -> str:
    """Format a number with two significant digits, or more before the point."""
    return f"{number:.0f}" if number >= 9.95 else f"{number:.1f}"


def duration(seconds: float) -> str:
    """Format a duration as ``0:07``, ``12:30`` or ``3:05:00``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"

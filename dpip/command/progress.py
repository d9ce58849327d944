"""Progress: moving bars on a terminal, and a line now and then anywhere else."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any, Protocol, Self, TextIO

import click
from attrs import define, field
from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TaskID, TextColumn
from twisted.internet.task import LoopingCall

_FRAMES_PER_SECOND = 12
_SECONDS_BETWEEN_LINES = 10.0
_FEWEST_SECONDS_BETWEEN_LINES = 2.0
_SHARE_BETWEEN_LINES = 0.05


class Stage(Protocol):
    """One part of the work, which has a line or a bar of its own."""

    def show(self, words: str, done: int = 0, total: int | None = None) -> None:
        """Show how far it is; ``total`` is given as soon as it is known, if it was not at the beginning."""

    def say(self, words: str) -> None:
        """Show words that must not be left out."""

    def finish(self, words: str) -> None:
        """Show that it is done."""


class Display(AbstractContextManager["Display"], Protocol):
    """A context manager that shows stages, in the order in which they begin."""

    def begin(self, name: str, words: str, total: int | None = None) -> Stage:
        """Begin a stage; ``total`` is None for work that cannot be counted, or not yet."""


def display_on(stream: TextIO, reactor: Any) -> Display:
    """Make bars if the stream is a terminal, else plain lines."""
    console = Console(file=stream)
    if _can_move(console):
        return LiveDisplay(console, reactor)
    return PlainDisplay(stream, time.monotonic)


def display_on_terminal(stream: TextIO, reactor: Any) -> Display:
    """Make bars if the stream is a terminal, else a display that shows nothing."""
    return LiveDisplay(Console(file=stream), reactor)


def lines_on(stream: TextIO) -> Stage | None:
    """Make a stage that prints lines now and then, unless the stream is a terminal on which bars move."""
    return None if _can_move(Console(file=stream)) else PlainStage(stream, time.monotonic)


def _can_move(console: Console) -> bool:
    return console.is_terminal and not console.is_dumb_terminal


@define
class PlainDisplay:
    """Prints a line when a stage begins and ends, and now and then between."""

    stream: TextIO
    now: Callable[[], float]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Do nothing: lines need no clean-up."""

    def begin(self, name: str, words: str, total: int | None = None) -> Stage:
        stage = PlainStage(self.stream, self.now, name)
        stage.say(words)
        return stage


@define
class PlainStage:
    """Prints a line every ten seconds, and each time another twentieth is done; never many in a second."""

    stream: TextIO
    now: Callable[[], float]
    name: str = ""
    _last: float = field(init=False)
    _told: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self._last = self.now()

    def show(self, words: str, done: int = 0, total: int | None = None) -> None:
        since = self.now() - self._last
        far = total is not None and done - self._told >= total * _SHARE_BETWEEN_LINES
        if since >= (_FEWEST_SECONDS_BETWEEN_LINES if far else _SECONDS_BETWEEN_LINES):
            self._told = done
            self.say(words)

    def say(self, words: str) -> None:
        self._last = self.now()
        click.echo(f"{self.name}: {words}" if self.name else words, file=self.stream)

    def finish(self, words: str) -> None:
        self.say(words)


class LiveDisplay:
    """Draws bars by the reactor's clock, not in a thread of rich's; draws nothing where no bar can move."""

    def __init__(self, console: Console, reactor: Any) -> None:
        columns: tuple[ProgressColumn, ...] = (
            SpinnerColumn(finished_text="[green]✓"),
            TextColumn("[bold]{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[words]}"),
        )
        still = console.quiet = not _can_move(console)  # even a disabled progress may print a newline
        self._progress = Progress(*columns, console=console, auto_refresh=False, disable=still)
        self._ticks = LoopingCall(self._progress.refresh)
        self._ticks.clock = reactor

    def __enter__(self) -> Self:
        self._progress.start()
        self._ticks.start(1 / _FRAMES_PER_SECOND)
        return self

    def __exit__(self, *_: object) -> None:
        self._ticks.stop()
        self._progress.stop()

    def begin(self, name: str, words: str, total: int | None = None) -> Stage:
        return _LiveStage(self._progress, self._progress.add_task(name, total=total, words=words))


@define
class _LiveStage:
    progress: Progress
    task: TaskID

    def show(self, words: str, done: int = 0, total: int | None = None) -> None:
        if not self.progress.disable:  # an update takes 9 µs, and each image causes a dozen
            self.progress.update(self.task, completed=done, words=words, total=total)

    def say(self, words: str) -> None:
        self.progress.update(self.task, words=words)

    def finish(self, words: str) -> None:
        total = self.progress.tasks[self.task].total or 1
        self.progress.update(self.task, total=total, completed=total, words=words)

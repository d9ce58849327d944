"""A film through a filter: frames out, filtered one by one, and joined in their order."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import click
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from dpip.client import Counts, Image, Parcel, Result
from dpip.command.filmfiles import Copy, Film, Frame
from dpip.command.rundisplay import duration, figure
from dpip.command.system import LineFor, Order, System

KINDS: Final = (".mp4", ".m4v", ".mkv", ".mov", ".webm")
_WINDOW: Final = 150
"""Frames under way: enough for the slots of a large cluster, and some seconds of film to keep."""
_BATCH: Final = 200
"""Frames that a server keeps at a time, originals and results: its disk need not hold all."""


@define(eq=False, kw_only=True)
class SentFrame(Parcel):
    """``pts`` is when it is shown, in the film's own unit."""

    place: int
    pts: int | None
    rotation: int


@define(eq=False)
class Filming:
    """Sends a film's frames, and writes what comes back in the film's order: what is early waits its turn.

    A frame is in memory while it is read and sent, and while it is fetched and written: a few at a time.
    """

    film: Film
    copy: Copy
    _run: str = field(factory=lambda: uuid4().hex)
    _frames: Iterator[Frame] = field(init=False)
    _due: int = field(default=0, init=False)
    _turns: dict[int, Deferred[None]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._frames = self.film.frames()

    async def next(self) -> Parcel | None:
        return await deferToThread(self._next)

    def uploaded(self, parcel: Parcel, image: Image) -> None:
        """Nothing is noted: a film is begun anew."""

    async def arrived(self, parcel: Parcel, result: Result) -> None:
        """Raises ClickException."""
        assert isinstance(parcel, SentFrame)
        png = await result.read()
        await self._turn(parcel.place)
        try:
            await deferToThread(self.copy.write, png, parcel.pts, parcel.rotation)
        except OSError as error:
            raise click.ClickException(
                f"{self.copy.path} cannot be written: {error.strerror or error}."
            ) from error
        self._due += 1
        if self._due in self._turns:
            self._turns.pop(self._due).callback(None)

    def failed(self, parcel: Parcel, code: str, reason: str) -> None:
        """Raises ClickException: a film with a frame missing is not the film."""
        raise click.ClickException(f"Frame {parcel.name} could not be filtered: {reason}")

    async def _turn(self, place: int) -> None:
        if place != self._due:
            self._turns[place] = Deferred()
            await self._turns[place]

    def _next(self) -> Parcel | None:
        frame = next(self._frames, None)
        if frame is None:
            return None
        return SentFrame(
            f"{frame.number:06}.png",
            frame.png(),
            f"{self._run}-{frame.number}",
            place=frame.number,
            pts=frame.pts,
            rotation=int(frame.picture.rotation),
        )


@define(eq=False)
class Showing:
    """``run`` makes the film; ``summary`` and ``as_json`` say how that went."""

    system: System
    steps: Sequence[Mapping[str, Any]]
    now: Callable[[], float] = time.monotonic
    counts: Counts = field(factory=Counts, init=False)
    seconds: float = field(default=0.0, init=False)

    async def run(self, reactor: Any, path: Path, to: Path, crf: int | None, sound: bool) -> None:
        """Raises ClickException, ClientError."""
        with self.system.display, Film(path) as film:
            copy = Copy(to, film, crf, sound)
            try:
                async with self.system.running(reactor) as line_for:
                    await self._convey(line_for, film, copy)
            finally:
                copy.close()

    async def _convey(self, line_for: LineFor, film: Film, copy: Copy) -> None:
        label = "+".join(step["name"] for step in self.steps)
        order = Order(
            self.steps,
            {"format": "PNG"},
            f"dpip video {film.path.name}",
            window=_WINDOW,
            batch=_BATCH,
            delete=True,
            in_order=True,
        )
        line = line_for(Filming(film, copy), order)
        shown = self.system.display_for(label, self.now, film.length)
        line.changed = lambda: shown.changed(line.counts)
        self.counts = line.counts
        try:
            await line.run()
            await deferToThread(copy.finish)
        finally:
            self.seconds = self.now() - shown.began

    def as_json(self, result: Path) -> dict[str, Any]:
        return {"frames": self.counts.done, "seconds": round(self.seconds, 3), "output": str(result)}

    def summary(self, result: Path) -> str:
        """For people."""
        rate = figure(self.counts.done / max(self.seconds, 0.001))
        frames = "1 frame" if self.counts.done == 1 else f"{self.counts.done} frames"
        return f"{frames} in {duration(self.seconds)} ({rate} frames/s): {result}"


def check_place(result: Path, film: Path, overwrite: bool) -> None:
    """Raises UsageError when the film cannot be written there."""
    if result.suffix.lower() not in KINDS:
        raise click.UsageError(f"-o {result}: the name of the film ends in one of {', '.join(KINDS)}.")
    if result.exists() and result.samefile(film):
        raise click.UsageError("The result cannot take the place of the film that it is made from.")
    if result.exists() and not overwrite:
        raise click.UsageError(f"{result} is there already. Name another file, or say --overwrite.")
    if not result.parent.is_dir():
        raise click.UsageError(f"There is no folder {result.parent} to write the film to.")

"""The frames of a film: they are read, sent, and written in their order when they come back filtered."""

from __future__ import annotations

from collections.abc import Iterator
from uuid import uuid4

import click
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from dpip.client import Image, Item, Result
from dpip.command.run.films import Film, FilmFrame
from dpip.command.video.copy import FilmCopy


@define(eq=False, kw_only=True)
class FrameItem(Item):
    """A frame to be filtered; ``pts`` is the time when it is shown, in the film's own unit."""

    place: int
    pts: int | None


@define(eq=False)
class FilmFrames:
    """Sends a film's frames and writes the results in the film's order.

    A frame is in memory while it is read and sent, and while it is fetched and written: a few at a time. The
    first ``done`` frames are left out: the copy has them.
    """

    film: Film
    copy: FilmCopy
    done: int = 0
    _run: str = field(factory=lambda: uuid4().hex)
    _frames: Iterator[FilmFrame] = field(init=False)
    _due: int = field(default=0, init=False)
    _turns: dict[int, Deferred[None]] = field(factory=dict, init=False)

    def __attrs_post_init__(self) -> None:
        self._frames = self.film.frames(progressive=True)

    async def next(self) -> Item | None:
        return await deferToThread(self._next)

    def uploaded(self, item: Item, image: Image) -> None:
        """Note nothing: of a film only whole pieces are resumed."""

    async def arrived(self, item: Item, result: Result) -> None:
        """Write a filtered frame when it is its turn. Raises ClickException when that fails."""
        assert isinstance(item, FrameItem)
        png = await result.read()
        await self._wait_for_turn(item.place)
        try:
            await deferToThread(self.copy.write, png, item.pts)
        except OSError as error:
            raise click.ClickException(
                f"{self.copy.name} cannot be written: {error.strerror or error}."
            ) from error
        self._due += 1
        if self._due in self._turns:
            self._turns.pop(self._due).callback(None)

    def failed(self, item: Item, code: str, reason: str) -> None:
        """Raise ClickException: the film must not lack a frame."""
        raise click.ClickException(f"Frame {item.name} could not be filtered: {reason}")

    async def _wait_for_turn(self, place: int) -> None:
        if place != self._due:
            self._turns[place] = Deferred()
            await self._turns[place]

    def _next(self) -> Item | None:
        for frame in self._frames:
            if frame.number == 0:
                self.copy.look_at(frame)
            if frame.number >= self.done:
                return self._item(frame)
        return None

    def _item(self, frame: FilmFrame) -> FrameItem:
        return FrameItem(
            f"{frame.number:06}.png",
            frame.png(),
            f"{self._run}-{frame.number}",
            place=frame.number - self.done,
            pts=frame.pts,
        )

"""Having the film drawn, by processes of their own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import click
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessDone
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from dpip.client import gather_bounded

_LAST_WORDS = 2000  # bytes


async def draw(
    reactor: Any, frames: int, pattern: str, painters: int, drawn: Callable[[int], object]
) -> None:
    """Frame n goes to ``pattern % n``; ``drawn`` is told each time how many more there are.

    Raises ClickException when it cannot be done.
    """

    async def paint(first: int) -> None:
        painter = Painter(drawn)
        arguments = ["-m", "dpip.command.film", str(frames), str(first), str(painters), pattern]
        reactor.spawnProcess(painter, sys.executable, [sys.executable, *arguments], os.environ)
        await painter.ended

    await gather_bounded(painters, paint, range(painters))


class Painter(ProcessProtocol):
    """A process that prints a line for each frame. ``ended`` fires at its end; to cancel that kills it."""

    def __init__(self, drawn: Callable[[int], object]) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self._kill())
        self._drawn = drawn
        self._said = b""

    def outReceived(self, data: bytes) -> None:
        if not self.ended.called:
            self._drawn(data.count(b"\n"))

    def errReceived(self, data: bytes) -> None:
        self._said = (self._said + data)[-_LAST_WORDS:]

    def processEnded(self, reason: Failure) -> None:
        if self.ended.called:
            return
        if reason.check(ProcessDone):
            self.ended.callback(None)
            return
        last = self._said.decode(errors="replace").strip().rpartition("\n")[2] or reason.getErrorMessage()
        self.ended.errback(click.ClickException(f"The film could not be drawn: {last}"))

    def _kill(self) -> None:
        if self.transport is not None and self.transport.pid is not None:
            self.transport.signalProcess("KILL")

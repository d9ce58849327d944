"""A directory for as long as a command needs it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread

from dpip.runtime.tempdirs import LockedTempDir


@asynccontextmanager
async def temporary(parent: Path, prefix: str) -> AsyncIterator[Path]:
    """In ``parent``. It goes also when the command is cancelled while it is being made.

    What a command has left that was killed goes at the start of the next. Raises OSError.
    """
    scratch = LockedTempDir(parent, prefix)
    opened: Deferred[Path] = Deferred()
    ended: Deferred[None] = Deferred()

    def end(path: Path) -> None:
        opened.callback(path)  # nobody hears it who was cancelled meanwhile
        ended.callback(None)

    deferToThread(scratch.open).addBoth(end)  # type: ignore[call-overload]  # a failure, too
    try:
        yield await opened
    finally:
        await ended
        await deferToThread(scratch.close)

"""Giving up on what has stopped moving."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


class Silence:
    """Cancels the Deferred under :meth:`watch` once :meth:`broken` was not called for ``seconds``.

    A limit on silence, not on the whole: a large file on a slow line takes as long as it takes.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self.too_long = False
        self.seconds = seconds
        self._watched: Deferred[object] | None = None
        self._alarm = clock.callLater(seconds, self._ring)

    async def watch(self, deferred: Deferred[T]) -> T:
        """The result of ``deferred``."""
        self._watched = deferred  # type: ignore[assignment]
        return await deferred

    def broken(self) -> None:
        """Something moved: count anew."""
        if self._alarm.active():
            self._alarm.reset(self.seconds)

    def end(self) -> None:
        """Stop watching; idempotent."""
        if self._alarm.active():
            self._alarm.cancel()

    def _ring(self) -> None:
        self.too_long = True
        if self._watched is not None:
            self._watched.cancel()

"""A timeout for exchanges that make no progress."""

from __future__ import annotations

from typing import TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

T = TypeVar("T")


class IdleTimeout:
    """Cancels the Deferred under :meth:`watch` when :meth:`restart` was not called for ``seconds``.

    It limits idle time, not the whole: a large file on a slow line takes as long as it takes.
    """

    def __init__(self, clock: IReactorTime, seconds: float) -> None:
        self.expired = False
        self.seconds = seconds
        self._watched: Deferred[object] | None = None
        self._timer = clock.callLater(seconds, self._expire)

    async def watch(self, deferred: Deferred[T]) -> T:
        """Return the result of ``deferred``."""
        self._watched = deferred  # type: ignore[assignment]
        return await deferred

    def restart(self) -> None:
        """Start anew after progress."""
        if self._timer.active():
            self._timer.reset(self.seconds)

    def stop(self) -> None:
        """Stop watching; may be called again."""
        if self._timer.active():
            self._timer.cancel()

    def _expire(self) -> None:
        self.expired = True
        if self._watched is not None:
            self._watched.cancel()

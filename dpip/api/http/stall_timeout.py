"""How long a client may take nothing of what we have for it."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dpip.api.http.answers import cut_short
from dpip.api.http.request import Request


@define(eq=False)
class StallTimeout:
    """A request whose transport has been full for ``seconds`` on end is dropped."""

    request: Request
    clock: IReactorTime
    seconds: float
    _end: IDelayedCall | None = field(default=None, init=False)

    def full(self) -> None:
        """From now on it takes nothing."""
        self.taking()
        self._end = self.clock.callLater(self.seconds, self._drop)

    def taking(self) -> None:
        """It goes on, or it has ended; idempotent."""
        if self._end is not None:
            self._end.cancel()
            self._end = None

    def _drop(self) -> None:
        self._end = None
        cut_short(self.request)

"""The deadline of a body, and the minimum rate at which it must come."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dpip.api.http.limits import HttpLimits


@define
class MinRateTimeout:
    """A watch on one body: it calls ``too_slow`` once, with the reason, unless :meth:`stop` comes first."""

    clock: IReactorTime
    limits: HttpLimits
    too_slow: Callable[[str], None]
    _began: float = field(default=0.0, init=False)
    _arrived: int = field(default=0, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def start(self) -> None:
        self._began = self.clock.seconds()
        self._arrived = 0
        self._next = self.clock.callLater(self.limits.pace_seconds, self._check_rate)

    def arrived(self, size: int) -> None:
        self._arrived += size

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _check_rate(self) -> None:
        self._next = None
        limits = self.limits
        if self.clock.seconds() - self._began > limits.body_seconds:
            self.too_slow(f"The body did not arrive within {limits.body_seconds:.0f} s.")
        elif self._arrived < limits.pace_bytes:
            self.too_slow(
                f"The body came too slowly: {self._arrived} bytes in {limits.pace_seconds:.0f} s, "
                f"at least {limits.pace_bytes} are expected."
            )
        else:
            self._arrived = 0
            self._next = self.clock.callLater(limits.pace_seconds, self._check_rate)

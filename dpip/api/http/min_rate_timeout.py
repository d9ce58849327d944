"""The deadline of a body, and the minimum rate at which it must come."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from dpip.api.http.limits import HttpLimits


@define
class MinRateTimeout:
    """A watch on one body of ``length`` bytes, or (None) of an unknown number.

    It calls ``too_slow`` once, with the reason, unless :meth:`stop` comes first.
    """

    clock: IReactorTime
    limits: HttpLimits
    length: int | None
    too_slow: Callable[[str], None]
    _began: float = field(default=0.0, init=False)
    _arrived: int = field(default=0, init=False)
    _total: int = field(default=0, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)

    def start(self) -> None:
        self._began = self.clock.seconds()
        self._arrived = 0
        self._next = self.clock.callLater(self.limits.pace_seconds, self._check_rate)

    def arrived(self, size: int) -> None:
        self._arrived += size
        self._total += size

    def stop(self) -> None:
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _check_rate(self) -> None:
        self._next = None
        limits = self.limits
        elapsed = self.clock.seconds() - self._began
        least = int((self.length or 0) * elapsed / limits.body_seconds)
        if elapsed > limits.body_seconds:
            self.too_slow(f"The body did not arrive within {limits.body_seconds:.0f} s.")
        elif self._arrived < limits.pace_bytes:
            self.too_slow(
                f"The body came too slowly: {self._arrived} bytes in {limits.pace_seconds:.0f} s, "
                f"at least {limits.pace_bytes} are expected."
            )
        elif self._total < least:
            self.too_slow(
                f"The body came too slowly: {self._total} bytes in {elapsed:.0f} s; at this rate its "
                f"{self.length} bytes would take longer than {limits.body_seconds:.0f} s."
            )
        else:
            self._arrived = 0
            self._next = self.clock.callLater(limits.pace_seconds, self._check_rate)

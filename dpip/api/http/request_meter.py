"""How long requests take, by route: counted where they are served, and told to the controller."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.errors import DpipError
from dpip.model import RequestTimes
from dpip.runtime.metrics import Histogram

_EVERY = 5.0
"""Seconds between two reports, at least: each is one call, whatever the number of requests."""


@define
class RequestMeter:
    """A meter of this process's requests; ``report`` adds what it has counted to what others have."""

    log = Logger()

    report: Callable[[Sequence[RequestTimes]], Deferred[None]]
    clock: IReactorTime
    _times: dict[tuple[str, str, str], Histogram] = field(factory=dict, init=False)
    _reported_at: float = field(default=0.0, init=False)

    def observe(self, method: str, route: str, status: int, seconds: float) -> None:
        self._times.setdefault((method, route, f"{status // 100}xx"), Histogram()).observe(seconds)
        now = self.clock.seconds()
        if now - self._reported_at >= _EVERY:
            self._reported_at = now
            self._tell()

    def _tell(self) -> None:
        taken, self._times = self._times, {}
        times = [RequestTimes(*key, tuple(one.counts), one.total) for key, one in taken.items()]
        self.report(times).addErrback(self._not_told, taken)

    def _not_told(self, failure: Failure, taken: dict[tuple[str, str, str], Histogram]) -> None:
        """Count them again: the controller is away."""
        failure.trap(DpipError)
        for key, one in taken.items():
            self._times.setdefault(key, Histogram()).add(one.counts, one.total)

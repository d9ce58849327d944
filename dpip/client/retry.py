"""Retries: which failures are tried again, when, and for how long."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client.errors import ApiError, ClientError

T = TypeVar("T")


@define
class Retry:
    """Tries again after connection errors, 429 and 503, until ``patience`` seconds after the first failure.

    The pauses double from ``first`` to ``longest`` seconds. Each is shortened by up to a half at random, so
    that many clients do not return together; a longer ``Retry-After`` of the server is honoured. If the next
    try would come too late, the failure is raised at once. ``told`` is called with each failure that will be
    tried again.
    """

    clock: IReactorTime
    patience: float = 30.0
    first: float = 0.2
    longest: float = 1.5  # after which a server that has returned is noticed
    chance: Callable[[], float] = random.random
    told: Callable[[ClientError], object] | None = None

    async def __call__(self, attempt: Callable[[], Awaitable[T]]) -> T:
        attempts, give_up = 0, None
        while True:
            attempts += 1
            try:
                return await attempt()
            except ClientError as error:
                now = self.clock.seconds()
                give_up = now + self.patience if give_up is None else give_up
                pause = self.pause(attempts, error.retry_after)
                if not error.transient or now + pause > give_up:
                    if isinstance(error, ApiError):
                        error.attempts = attempts
                    raise
                if self.told is not None:
                    self.told(error)
            await deferLater(self.clock, pause)

    def pause(self, failures: int, retry_after: float | None) -> float:
        """Return the seconds to wait after this many failures in a row."""
        whole = min(self.longest, self.first * 2.0 ** min(failures - 1, 30))
        return max(whole * (1 - self.chance() / 2), retry_after or 0.0)

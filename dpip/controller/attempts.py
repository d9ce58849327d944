"""A limit on failures within a window of time, kept per key (an account, an address), with bounded memory."""

from __future__ import annotations

from collections import OrderedDict, deque
from math import ceil

from attrs import define, field

from dpip.errors import TooManyRequests


@define
class FailureLimit:
    """At most ``limit`` failures in ``window`` seconds for each key; ``keys`` are remembered at most."""

    limit: int
    window: float
    keys: int = 10_000
    _failures: OrderedDict[str, deque[float]] = field(factory=OrderedDict, init=False)

    def check(self, key: str, now: float) -> None:
        """Raises TooManyRequests with the seconds to wait once the limit is reached."""
        failures = self._failures.get(key)
        if failures is None:
            return
        while failures and failures[0] <= now - self.window:
            failures.popleft()
        if len(failures) >= self.limit:
            wait = max(1, ceil(failures[0] + self.window - now))
            raise TooManyRequests(f"Too many failed logins. Try again in {wait} seconds.", retry_after=wait)

    def failed(self, key: str, now: float) -> None:
        self._failures.setdefault(key, deque(maxlen=self.limit)).append(now)
        self._failures.move_to_end(key)
        if len(self._failures) > self.keys:
            self._failures.popitem(last=False)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)

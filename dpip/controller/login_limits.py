"""Limits on failed logins within a window of time, and on logins under way, by account or by address."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv6Address, ip_address
from math import ceil

from attrs import Factory, define, field
from cachetools import LRUCache

from dpip.errors import RetryLater, TooManyRequests

_IPV6_HOST_BITS = 64


def network_of(address: str) -> str:
    """What counts as one address: an IPv6 host has 2**64 of them, which are one here; other words stay."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return address
    if isinstance(parsed, IPv6Address) and parsed.ipv4_mapped is None:
        return str(IPv6Address(int(parsed) >> _IPV6_HOST_BITS << _IPV6_HOST_BITS))
    return address


@define
class FailureLimit:
    """Allows ``limit`` failures in ``window`` seconds for each key; at most ``keys`` keys are remembered."""

    limit: int
    window: float
    keys: int = 10_000
    what: str = "Too many failed logins"
    _failures: LRUCache[str, deque[float]] = field(
        default=Factory(lambda self: LRUCache(self.keys), takes_self=True), init=False
    )

    def check(self, key: str, now: float) -> None:
        """Raises TooManyRequests with the seconds to wait once the limit is reached."""
        if self.count(key, now) >= self.limit:
            wait = max(1, ceil(self._failures[key][0] + self.window - now))
            raise TooManyRequests(f"{self.what}. Try again in {wait} seconds.", retry_after=wait)

    def count(self, key: str, now: float) -> int:
        """Count the failures within the window."""
        failures = self._failures.get(key)
        if failures is None:
            return 0
        while failures and failures[0] <= now - self.window:
            failures.popleft()
        return len(failures)

    def happened(self, key: str, now: float) -> None:
        self._failures.setdefault(key, deque(maxlen=self.limit)).append(now)

    def succeeded(self, key: str) -> None:
        self._failures.pop(key, None)


@define
class LoginTurns:
    """Allows ``limit`` logins at the same time, and ``each`` for one key."""

    limit: int
    each: int
    _taken: Counter[str] = field(factory=Counter, init=False)

    @contextmanager
    def turn(self, key: str) -> Iterator[None]:
        """Hold a place during the block. Raises as :meth:`check` does."""
        self.check(key)
        self._taken[key] += 1
        try:
            yield
        finally:
            self._taken[key] -= 1
            if not self._taken[key]:
                del self._taken[key]

    def check(self, key: str) -> None:
        """Raises RetryLater where there is no place, or TooManyRequests when this key has too many."""
        if self._taken[key] >= self.each:
            raise TooManyRequests(
                "Other logins from your address, or as this user, are being checked. Try again in a second."
            )
        if self._taken.total() >= self.limit:
            raise RetryLater("Many logins are being checked at the moment. Try again in a second.")

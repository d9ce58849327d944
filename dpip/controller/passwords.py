"""Password hashing with argon2id, off the reactor and bounded.

One hash costs 0.1 to 0.3 s and 64 MiB with argon2-cffi's defaults (RFC 9106, low-memory profile). So guesses
wait in a short queue for a thread of low priority, and take neither the reactor nor unbounded memory. A hash
uses that thread alone: by default Argon2 would start three more, and take four cores.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError
from attrs import define, field

from dpip.errors import RetryLater
from dpip.runtime.threads import FromThreads, Threads, in_thread

T = TypeVar("T")


@define
class Passwords:
    """``pool`` runs the hashing; at most ``limit`` hashes are under way or waiting."""

    reactor: FromThreads
    pool: Threads
    hasher: PasswordHasher = field(factory=lambda: PasswordHasher(parallelism=1))
    limit: int = 32
    _waiting: int = field(default=0, init=False)
    _nobody: str | None = field(default=None, init=False)

    async def hash(self, password: str) -> str:
        """The hash to keep. Raises RetryLater when too many are waiting."""
        return await self._in_pool(self.hasher.hash, password)

    async def verify(self, password: str, known: str | None) -> bool:
        """Whether ``password`` has the hash ``known``; for an unknown user (None) the same work is done."""
        if known is None:
            if self._nobody is None:
                self._nobody = await self._in_pool(self.hasher.hash, "nobody")
            await self._in_pool(self._matches, self._nobody, password)
            return False
        return await self._in_pool(self._matches, known, password)

    def _matches(self, known: str, password: str) -> bool:
        try:
            return self.hasher.verify(known, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _in_pool(self, work: Callable[..., T], *args: Any) -> T:
        if self._waiting >= self.limit:
            raise RetryLater("Many logins are being checked at the moment. Try again in a second.")
        self._waiting += 1
        try:
            return await in_thread(self.reactor, self.pool, work, *args)
        finally:
            self._waiting -= 1

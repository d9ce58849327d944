"""The join token of a running controller, and its rotation."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.internet.defer import DeferredLock

from dpip.errors import RetryLater
from dpip.link.join_token import JoinToken, TokenFile
from dpip.runtime.coroutines import deferred
from dpip.runtime.threads import FromThreads, Threads, in_thread


async def _alone() -> None:
    """There are no other controllers."""


@define
class JoinTokens:
    """Rotates the token in ``file``; ``threads`` write it, since that waits for the disk. ``share`` passes
    the file on to other controllers of the same DPIP."""

    file: TokenFile
    reactor: FromThreads
    threads: Threads
    clock: Callable[[], float]
    share: Callable[[], Awaitable[None]] = _alone
    _one_at_a_time: DeferredLock = field(factory=DeferredLock, init=False)

    @deferred
    async def rotate(self, seconds: float | None, grace: float) -> JoinToken:
        """Make a new token. Raises RetryLater when the file cannot be written: then the last token stays."""
        async with self._one_at_a_time:
            now = self.clock()
            try:
                token = await in_thread(self.reactor, self.threads, self.file.write_new, now, seconds, grace)
            except OSError as error:
                raise RetryLater(f"The join token cannot be written: {error.strerror}.") from None
            await self.share()
            self.file.use(token, now, grace)
            return token

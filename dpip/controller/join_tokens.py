"""The join token of a running controller, and its rotation."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import DeferredLock

from dpip.errors import RetryLater
from dpip.link.join_token import JoinToken, TokenFile
from dpip.runtime.coroutines import deferred
from dpip.runtime.threads import FromThreads, Threads, in_thread


@define
class JoinTokens:
    """Rotates the token in ``file``; ``threads`` write it, since that waits for the disk."""

    file: TokenFile
    reactor: FromThreads
    threads: Threads
    clock: Callable[[], float]
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
            self.file.use(token, now, grace)
            return token

"""Long bodies of answers, written as fast as the client takes them."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from zope.interface import implementer

from dpip.api.http.answers import cut_short, write_head
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request


class Streamed(Protocol):
    """An answer that is written piece by piece."""

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        """Write head and body. When the client leaves, this is cancelled, if it waits for anything."""


@implementer(IPushProducer)
@define(eq=False)
class BodyWriter:
    """A writer of one body, which lasts as long as its ``with``.

    The transport asks for a pause as soon as its buffer is full, so a slow client costs that buffer, and one
    that takes nothing for ``stall_seconds`` is dropped.
    """

    request: Request
    clock: IReactorTime
    stall_seconds: float
    _stall_timeout: IDelayedCall | None = field(default=None, init=False)
    _ready: Deferred[None] | None = field(default=None, init=False)  # not None: we have to pause

    def __enter__(self) -> BodyWriter:
        self.request.registerProducer(self, True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stopProducing()
        if self.request.channel is not None:  # else the connection is gone
            self.request.unregisterProducer()

    async def write(self, data: bytes) -> None:
        """Return when the client is ready for more."""
        self.request.write(data)
        if self._ready is not None:
            await self._ready

    def pauseProducing(self) -> None:
        if self._ready is None:
            self._ready = Deferred()
            self._stall_timeout = self.clock.callLater(self.stall_seconds, cut_short, self.request)

    def resumeProducing(self) -> None:
        self.stopProducing()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    def stopProducing(self) -> None:
        """Stop the clock. When the client is gone, whoever waits is cancelled by that as well."""
        if self._stall_timeout is not None and self._stall_timeout.active():
            self._stall_timeout.cancel()


def begin_body(request: Request, headers: Mapping[str, str]) -> bool:
    """Write the head of a body of unknown length. False for HEAD: the body is not wanted."""
    wanted = request.method != b"HEAD"
    if request.clientproto == b"HTTP/1.1":
        headers = {**headers, "Transfer-Encoding": "chunked"}
        request.chunked = int(wanted)  # from now on what is written goes in chunks, until the request ends
    write_head(request, 200, headers, request.id)
    return wanted

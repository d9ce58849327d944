"""Bodies whose length nobody knows when they begin, written as fast as the client takes them."""

# mypy: disallow-untyped-calls=False
# twisted.web is not annotated.

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Protocol

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from zope.interface import implementer

from dpip.api.http.answers import write_head
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request
from dpip.api.http.stall_timeout import StallTimeout


class Streamed(Protocol):
    """An answer that is written piece by piece."""

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        """Write head and body. When the client goes away this is cancelled, if it waits for anything."""


@implementer(IPushProducer)
@define(eq=False)
class Outflow:
    """A body under way, between ``with`` and its end. The transport asks for a pause as soon as its buffer is
    full, so a slow client costs that buffer, and one that takes nothing for ``stall`` seconds is dropped."""

    request: Request
    clock: IReactorTime
    stall: float
    _stall_timeout: StallTimeout = field(init=False)
    _ready: Deferred[None] | None = field(default=None, init=False)  # not None: we have to pause

    def __attrs_post_init__(self) -> None:
        self._stall_timeout = StallTimeout(self.request, self.clock, self.stall)

    def __enter__(self) -> Outflow:
        self.request.registerProducer(self, True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stall_timeout.taking()
        if self.request.channel is not None:  # else the connection is gone
            self.request.unregisterProducer()

    async def write(self, data: bytes) -> None:
        """Returns when the client is ready for more."""
        self.request.write(data)
        if self._ready is not None:
            await self._ready

    def pauseProducing(self) -> None:
        if self._ready is None:
            self._ready = Deferred()
            self._stall_timeout.full()

    def resumeProducing(self) -> None:
        self._stall_timeout.taking()
        ready, self._ready = self._ready, None
        if ready is not None:
            ready.callback(None)

    def stopProducing(self) -> None:
        """The client is gone; whoever waits is cancelled by that as well."""
        self._stall_timeout.taking()


def begin(request: Request, headers: Mapping[str, str]) -> bool:
    """Write the head of a body of unknown length. False for HEAD: the body is not wanted."""
    wanted = request.method != b"HEAD"
    if request.clientproto == b"HTTP/1.1":
        headers = {**headers, "Transfer-Encoding": "chunked"}
        request.chunked = int(wanted)  # from now on what is written goes in chunks, until the request ends
    write_head(request, 200, headers, request.id)
    return wanted

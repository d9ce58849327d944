"""One connection: deadlines that bytes alone do not extend, and answers that a refused client can read."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from dpip.api.http.problems import TooSlow, problem
from dpip.errors import DpipError, Malformed
from dpip.runtime.transports import widen
from dpip.runtime.twisted_private import HookedChannel

if TYPE_CHECKING:  # a circle of types: a site makes its channels
    from dpip.api.http.site import Site


class Channel(HookedChannel):
    """HTTP/1.1 as Twisted parses it.

    The stock idle timer starts anew with every byte, so that one byte a minute holds a connection for ever.
    Here it is set once for the idle time, once at a request's first byte, and is off while a body arrives
    (:mod:`dpip.api.http.min_rate_timeout` watches that) and while the request is answered.
    """

    site: Site
    transport: Any
    persistent: int
    maxHeaders = 100
    _idle = True
    _draining = False
    _drained = 0
    _lingering: IDelayedCall | None = None  # not None: when it fires, whatever is left is aborted

    def connectionMade(self) -> None:
        super().connectionMade()
        widen(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._draining:
            self._drain(len(data))
            return
        if self._idle:
            self._idle = False
            # To make a call sooner, Twisted looks for it among those of all connections: this makes another.
            self.setTimeout(None)
            self.setTimeout(self.site.limits.header_seconds)
        super().dataReceived(data)

    # Stricter than Twisted where another server, before this one, may read a request in another way.

    def lineReceived(self, line: bytes) -> None:
        """A header folded over two lines is refused (RFC 9112, 5.2)."""
        if line[:1] in (b" ", b"\t"):
            self.malformed()
        else:
            super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        """An encoding other than ``chunked`` is refused (RFC 9112, 6.1): ``identity`` was one, long ago."""
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding" and value.strip(b" \t").lower() != b"chunked":
            self.malformed()
            return False
        return bool(super().headerReceived(line))

    def accepts_trailers(self, lines: Iterable[bytes]) -> bool:
        """Trailers are passed over, but not what is none: it may be the next request for somebody else."""
        if any(b"\n" in line or b":" not in line for line in lines):
            self.malformed()
            return False
        return True

    def resetTimeout(self) -> None:
        """Bytes alone buy no time."""

    def allHeadersReceived(self) -> None:
        self.setTimeout(None)
        super().allHeadersReceived()

    def requestDone(self, request: Any) -> None:
        self._idle = True
        self.setTimeout(self.site.limits.idle_seconds)
        super().requestDone(request)

    def timeoutConnection(self) -> None:
        if self.requests:
            self._refuse(TooSlow("The headers of the request did not arrive in time."))
        else:
            self._abort_later()
            self.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._lingering is not None and self._lingering.active():
            self._lingering.cancel()
        super().connectionLost(reason)

    def lose_politely(self) -> None:
        """Say that no more will be said, and go on reading for a while, into nothing.

        To close at once while bytes are still coming in makes the kernel answer them with a reset, which
        destroys the answer that the client has not read yet. (A TLS connection is half closed by
        ``loseConnection``: it waits for the other side's goodbye.)
        """
        self.persistent = 0
        self._draining = True
        self.clearLineBuffer()
        self.setTimeout(None)
        self._abort_later()
        if ISSLTransport.providedBy(self.transport):
            self.loseConnection()
        else:
            self.transport.loseWriteConnection()

    def _abort_later(self) -> None:
        if self._lingering is None:
            self._lingering = self.callLater(self.site.limits.linger_seconds, self.transport.abortConnection)

    def _drain(self, size: int) -> None:
        self._drained += size
        if self._drained > self.site.limits.linger_bytes:
            self.transport.abortConnection()

    def malformed(self) -> None:
        """Refuse what is not HTTP as the API refuses everything else: with a problem."""
        self._refuse(
            Malformed("This is not HTTP/1.1 as RFC 9112 has it, or its headers are too many or too long.")
        )

    def lineLengthExceeded(self, line: bytes) -> None:
        self.malformed()

    def _refuse(self, error: DpipError) -> None:
        """By the request, if it is one already; else there is only the bare connection to answer on."""
        if self._draining:
            return
        if self.requests and self.requests[-1].opened:
            self.requests[-1].refuse(error)
            return
        request_id = self.site.ids()
        if self.site.ration.allows():
            self.site.logger.info(
                "{id} {error} {peer}", id=request_id, error=error.title, peer=self.getPeer()
            )
        answer = problem(error, request_id)
        head = [
            f"HTTP/1.1 {answer.status} {HTTPStatus(answer.status).phrase}",
            "Connection: close",
            f"Content-Length: {len(answer.body)}",
        ]
        head += [f"{name}: {value}" for name, value in answer.headers.items()]
        self.transport.write("\r\n".join(head).encode() + b"\r\n\r\n" + answer.body)
        self.lose_politely()

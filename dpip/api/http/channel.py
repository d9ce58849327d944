"""One connection: bytes alone do not extend its deadlines, and a refused client can read its answer."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from twisted.internet.interfaces import IDelayedCall, ISSLTransport
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure

from dpip.api.http.early_refusals import LATE_SECONDS, MOST_HELD
from dpip.api.http.problems import TooSlow, problem
from dpip.errors import DpipError, Malformed
from dpip.runtime.transports import widen
from dpip.runtime.twisted_private import HookedChannel

if TYPE_CHECKING:  # a circle of types: a site makes its channels
    from dpip.api.http.site import Site


class Channel(HookedChannel):
    """A connection that speaks HTTP/1.1 as Twisted parses it.

    Twisted's idle timer starts anew with every byte, so that one byte a minute holds a connection for ever.
    Here it is set once for the idle time and once at a request's first byte. It is off while a body arrives
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
    _held: IDelayedCall | None = None  # not None: when it fires, a login is refused

    def connectionMade(self) -> None:
        super().connectionMade()
        widen(self.transport)

    def dataReceived(self, data: bytes) -> None:
        if self._draining:
            self._drain(len(data))
            return
        if self._idle:
            if self.site.early is not None and not self.requests and self._refused_early(data):
                return
            self._idle = False
            # A new call: to make one sooner, Twisted searches through those of all connections.
            self.setTimeout(None)
            self.setTimeout(self.site.limits.header_seconds)
        super().dataReceived(data)

    def _refused_early(self, data: bytes) -> bool:
        early = self.site.early
        assert early is not None
        error = early.of(data, str(getattr(self.getPeer(), "host", "-")))
        if error is None:
            return False
        self._draining = True
        self.setTimeout(None)
        is_whole = data.endswith(b"\r\n\r\n")
        if early.held >= MOST_HELD:
            self._refuse_bare(error, is_whole)
        else:
            early.held += 1
            self._held = self.site.clock.callLater(LATE_SECONDS, self._end_hold, error, is_whole)
        return True

    def _end_hold(self, error: DpipError, is_whole: bool) -> None:
        """Answer an early refusal that was held back."""
        assert self.site.early is not None
        self.site.early.held -= 1
        self._held = None
        self._refuse_bare(error, is_whole)

    # These are stricter than Twisted where a proxy in front of us may read a request in another way.

    def lineReceived(self, line: bytes) -> None:
        """Refuse a header that is folded over two lines (RFC 9112, 5.2)."""
        if line[:1] in (b" ", b"\t"):
            self.malformed()
        else:
            super().lineReceived(line)

    def headerReceived(self, line: bytes) -> bool:
        """Refuse an encoding other than ``chunked`` (RFC 9112, 6.1); ``identity`` was one, long ago."""
        name, _, value = line.partition(b":")
        if name.lower() == b"transfer-encoding" and value.strip(b" \t").lower() != b"chunked":
            self.malformed()
            return False
        return bool(super().headerReceived(line))

    def accepts_trailers(self, lines: Iterable[bytes]) -> bool:
        """Pass over trailers, but refuse what is none: another server may take it for the next request."""
        if any(b"\n" in line or b":" not in line for line in lines):
            self.malformed()
            return False
        return True

    def resetTimeout(self) -> None:
        """Do nothing: bytes alone extend no deadline."""

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
        if self._held is not None and self.site.early is not None:
            self._held.cancel()
            self.site.early.held -= 1
        super().connectionLost(reason)

    def lose_politely(self) -> None:
        """Close our side, and for a while read and throw away what still comes.

        If we closed at once, the kernel would answer bytes that still come with a reset, which destroys the
        answer that the client has not read yet. (A TLS connection is half closed by ``loseConnection``, which
        waits for the other side to close.)
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
        """Refuse what is not HTTP with a problem document, as the API refuses everything else."""
        self._refuse(
            Malformed("This is not HTTP/1.1 as RFC 9112 has it, or its headers are too many or too long.")
        )

    def lineLengthExceeded(self, line: bytes) -> None:
        self.malformed()

    def _refuse(self, error: DpipError) -> None:
        """Answer by the request, if there is one already, else on the bare connection."""
        if self._draining:
            return
        if self.requests and self.requests[-1].opened:
            self.requests[-1].refuse(error)
            return
        self._refuse_bare(error)

    def _refuse_bare(self, error: DpipError, is_whole: bool = False) -> None:
        """Answer where there is no request, and end the connection: at once if all of it has been read."""
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
        if is_whole and not self._drained:
            self.transport.loseConnection()
        else:
            self.lose_politely()

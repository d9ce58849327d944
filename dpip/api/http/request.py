"""One request: decided at its headers, its body passed on as it arrives, answered even when it is refused."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote_to_bytes

from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web import server

from dpip.api.http.answers import write_answer
from dpip.api.http.bodies import Body
from dpip.api.http.min_rate_timeout import MinRateTimeout
from dpip.api.http.problems import InternalError, TooSlow, problem
from dpip.api.http.text import lenient
from dpip.errors import DpipError, Malformed
from dpip.model import Principal

if TYPE_CHECKING:  # a circle of types: a request belongs to a channel and a site, which make it
    from dpip.api.http.channel import Channel
    from dpip.api.http.site import Site

_LOGGED_PATH = 200  # characters: a line of the log stays a line
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Request(server.Request):
    """A request that asks the gate before its body is read; Twisted's keeps the whole body first.

    Until the gate has decided (its answer is a Deferred), reading is paused, and what has arrived is held.
    """

    log = Logger()

    channel: Channel
    transport: Any
    site: Site
    id = ""
    principal: Principal | None = None
    segments: tuple[bytes, ...] = ()
    query = b""
    opened = False  # the headers are complete
    began = 0.0
    made = ""  # for the log: what is there now that was not before, or what a batch was of
    _body: Body | None = None
    _min_rate: MinRateTimeout | None = None
    _held: list[bytes] | None = None  # not None: the gate has not decided yet
    _complete: tuple[bytes, bytes, bytes] | None = None
    _owed_continue = False
    _length: int | None = None  # of the body, where it was said
    _passed_over = False  # refused, and the rest of the body is waited for
    _over = False  # refused, finished, or the connection is gone: nothing more to do

    def gotLength(self, length: int | None) -> None:
        """Begin: the headers are complete. ``length`` is 0 for no body and None for a chunked one."""
        self.site = self.channel.site
        self.id = self.site.ids()
        self.began = self.site.clock.seconds()
        self.opened = True
        self._length = length
        self.method, target, self.clientproto = self.channel.request_line()
        self.uri = _origin_form(target)
        self.path, _, self.query = self.uri.partition(b"?")
        self.segments = tuple(unquote_to_bytes(part) for part in self.path[1:].split(b"/"))
        self.content = BytesIO()  # stays empty, so that the stock code has nothing to parse
        if not _is_utf8(b"/".join(self.segments)):
            self.refuse(Malformed("The path is not UTF-8."))  # Klein would answer it, but not as a problem
        elif length != 0:
            self._ask_gate(length)

    def header(self, name: str) -> str | None:
        """Return a header as text, whatever bytes it has: ``getHeader`` fails for what is not UTF-8."""
        value = self.getHeader(name.encode("ascii"))
        return None if value is None else lenient(value)

    def take_body(self) -> Body | None:
        """Return the complete body, once. The caller closes it."""
        body, self._body = self._body, None
        return body

    def _ask_gate(self, length: int | None) -> None:
        self._held = []
        asked: Deferred[Body] = self.site.gate.admit(self, length)
        asked.addCallback(self._admitted)
        asked.addErrback(self._failed)
        if self._held is not None:
            self._pause()

    def _pause(self) -> None:
        # The channel would send its 100 right after this: it must wait for the gate.
        if self.requestHeaders.hasHeader("Expect"):
            self._owed_continue = True
            self.requestHeaders.removeHeader("Expect")
        self.transport.pauseProducing()

    def _admitted(self, body: Body) -> None:
        if self._over:
            body.close()
            return
        self._body = body
        held, self._held = self._held or [], None
        self._watch(lambda why: self.refuse(TooSlow(why)))
        if self._owed_continue and self.clientproto == b"HTTP/1.1":
            self.channel.write(_CONTINUE)
        for data in held:
            self.handleContentChunk(data)
        if self._complete is not None:
            self._body_complete(*self._complete)
        self.transport.resumeProducing()

    def _failed(self, failure: Failure) -> None:
        self.refuse(self.explained(failure))

    def explained(self, failure: Failure) -> DpipError:
        """Return what to tell the client. Any failure but a DpipError is logged with the request's id."""
        if isinstance(failure.value, DpipError):
            return failure.value
        self.log.failure("Request {id} failed: {method} {path}", failure, **self.facts())
        return InternalError()

    def handleContentChunk(self, data: bytes) -> None:
        if self._over:
            if self._min_rate is not None:
                self._min_rate.arrived(len(data))
            return
        if self._held is not None:
            self._held.append(data)
            self.transport.pauseProducing()  # again, if the channel has resumed it meanwhile
            return
        assert self._body is not None
        assert self._min_rate is not None
        self._min_rate.arrived(len(data))
        try:
            self._body.write(data)
        except Exception:  # noqa: BLE001 - whatever it is, this client gets an answer and the others are not harmed
            self._failed(Failure())

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        """Note that all bytes have arrived."""
        self._complete = command, path, version
        if self._passed_over:
            self.finish()
        elif self._held is None and not self._over:
            self._body_complete(command, path, version)

    def _body_complete(self, command: bytes, path: bytes, version: bytes) -> None:
        if self._over:
            return
        if self._min_rate is not None:
            self._min_rate.stop()
        try:
            if self._body is not None:
                self._body.end()
        except Exception:  # noqa: BLE001 - as above
            self._failed(Failure())
        else:
            super().requestReceived(command, _origin_form(path), version)

    def refuse(self, error: DpipError) -> None:
        """Answer now, whatever is still to come of the body, and close once the client has read the answer.

        A client that is told to come again later may use this connection, if little of the body is to come.
        """
        if self._over:
            return
        if self.startedWriting:  # an answer is on its way already: it can only be cut short
            self.channel.transport.abortConnection()
            return
        self._end_body()
        goes_on = error.retry_after is not None and self._can_pass_over()
        self.requestHeaders.removeHeader("Expect")  # or a 100 would follow
        if not goes_on:
            self.channel.persistent = 0
        write_answer(self, problem(error, self.id), self.id)
        if goes_on:
            self._pass_over()
        else:
            self.site.log(self)
            self.channel.lose_politely()
        self.transport.resumeProducing()

    def _can_pass_over(self) -> bool:
        """A client that was to wait for 100 now sends the body, or does not: nobody knows what comes next."""
        waits = self._owed_continue or self.requestHeaders.hasHeader("Expect")
        is_short = self._length is not None and self._length <= self.site.limits.passed_over
        return bool(self.channel.persistent) and is_short and not waits

    def _pass_over(self) -> None:
        """What is still to come of the body goes nowhere; with its end the request is over."""
        self._passed_over = True
        if self._complete is not None:
            self.finish()
        else:
            self._watch(lambda _: self.channel.transport.abortConnection())

    def _watch(self, too_slow: Callable[[str], None]) -> None:
        self._min_rate = MinRateTimeout(self.site.clock, self.site.limits, self._length, too_slow)
        self._min_rate.start()

    def _end_body(self) -> None:
        self._over = True
        self._held = None
        if self._min_rate is not None:
            self._min_rate.stop()
        body = self.take_body()
        if body is not None:
            body.close()

    def process(self) -> None:
        """Have it answered by a route that is taken often, or else by Klein."""
        if not self.site.shortcut(self):
            super().process()

    def finish(self) -> None:
        """End the request: the answer is complete."""
        self._end_body()
        super().finish()

    def connectionLost(self, reason: Failure) -> None:
        """End the request: the client is gone. A body is thrown away unless a handler has it."""
        was_over = self._over
        self._end_body()
        if self.opened and not was_over:
            self.site.log_gone(self)
        super().connectionLost(reason)

    def processingFailed(self, reason: Failure) -> Failure:
        """Answer when something has failed before a route was found."""
        write_answer(self, problem(self.explained(reason), self.id), self.id)
        self.finish()
        return reason

    def getRequestHostname(self) -> bytes:
        """Return a fixed name: Klein gives it to an IDNA codec, which fails for strange Host headers."""
        return b"localhost"

    def facts(self) -> dict[str, Any]:
        """Return facts for the log. The query is left out, since it may hold what is private."""
        return {
            "id": self.id,
            "method": self.method.decode("latin-1"),
            "path": ascii(self.path.decode("latin-1"))[1:-1][:_LOGGED_PATH],
            "user": self.principal.name if self.principal is not None else "-",
            "made": self.made,
        }


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _origin_form(target: bytes) -> bytes:
    """Return ``http://host/path``, as proxies send it, without scheme and host (RFC 9112, 3.2.2).

    Klein takes ``//images`` for ``/images``: so that the gate does too, there is one slash in front.
    """
    scheme, separator, rest = target.partition(b"://")
    if separator and scheme.lower() in (b"http", b"https"):
        target = b"/" + rest.partition(b"/")[2]
    return b"/" + target.lstrip(b"/") if target.startswith(b"/") else target

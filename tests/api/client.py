"""A small HTTP client of raw bytes: what is sent stands in the test, what comes back is all there."""

from __future__ import annotations

import json
from typing import Any

from attrs import define, field, frozen
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure


@frozen
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


def split_response(data: bytes, head_only: bool = False) -> tuple[Response | None, bytes]:
    """The first complete answer in ``data``, and what follows it. Interim (1xx) answers are passed over."""
    head, end, rest = data.partition(b"\r\n\r\n")
    if not end:
        return None, data
    first, *lines = head.decode("latin-1").split("\r\n")
    status = int(first.split(" ")[1])
    if status < 200:
        return split_response(rest, head_only)
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    length = 0 if head_only or status in (204, 304) else int(headers.get("content-length", "0"))
    if len(rest) < length:
        return None, data
    return Response(status, headers, rest[:length]), rest[length:]


class Connection(Protocol):
    """``received`` holds every byte that came; :meth:`response` takes the answers off one by one."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[None] = Deferred()
        self._unread = b""
        self._waiting: tuple[Deferred[Response], bool] | None = None
        self._waiting_for: tuple[Deferred[None], bytes] | None = None

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        self._unread += data
        self._look()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.closed.callback(None)
        if self._waiting is not None:
            self._waiting[0].errback(ConnectionError(f"closed after {self.received!r}"))

    def drop(self) -> None:
        """A dead TLS transport must not be aborted again."""
        if not self.closed.called:
            self.transport.abortConnection()

    def send(self, data: bytes) -> None:
        self.transport.write(data)

    def response(self, head_only: bool = False) -> Deferred[Response]:
        waiting: Deferred[Response] = Deferred()
        self._waiting = waiting, head_only
        self._look()
        return waiting

    def until(self, mark: bytes) -> Deferred[None]:
        """Fires when ``mark`` has been received."""
        waiting: Deferred[None] = Deferred()
        self._waiting_for = waiting, mark
        self._look()
        return waiting

    def _look(self) -> None:
        if self._waiting_for is not None and self._waiting_for[1] in self.received:
            (waiting_for, _), self._waiting_for = self._waiting_for, None
            waiting_for.callback(None)
        if self._waiting is None:
            return
        waiting, head_only = self._waiting
        response, self._unread = split_response(self._unread, head_only)
        if response is not None:
            self._waiting = None
            waiting.callback(response)


async def connect(port: int) -> Connection:
    return await connectProtocol(TCP4ClientEndpoint(reactor, "127.0.0.1", port), Connection())


def request_bytes(
    method: str, path: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> bytes:
    """A request as plain clients send it: with a length if there is a body, and none if there is not."""
    named = {"Host": "localhost", **(headers or {})}
    if body is not None:
        named.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + (body or b"")


@define
class Form:
    """A multipart body, part by part."""

    boundary: str = "frontier-9f2c"
    _parts: list[bytes] = field(factory=list)

    def field(self, name: str, value: str | bytes) -> Form:
        return self.part(f'Content-Disposition: form-data; name="{name}"', value)

    def file(self, name: str, filename: str, data: bytes, content_type: str = "image/png") -> Form:
        disposition = f'Content-Disposition: form-data; name="{name}"; filename="{filename}"'
        return self.part(f"{disposition}\r\nContent-Type: {content_type}", data)

    def part(self, headers: str | bytes, data: str | bytes) -> Form:
        head = headers.encode() if isinstance(headers, str) else headers
        content = data.encode() if isinstance(data, str) else data
        self._parts.append(b"--" + self.boundary.encode() + b"\r\n" + head + b"\r\n\r\n" + content + b"\r\n")
        return self

    @property
    def body(self) -> bytes:
        return b"".join(self._parts) + b"--" + self.boundary.encode() + b"--\r\n"

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

"""HTTP bodies that never need more memory than a chunk, whatever their size."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, Final

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.task import Cooperator
from twisted.python.failure import Failure
from twisted.web.client import FileBodyProducer, ResponseDone
from twisted.web.iweb import IBodyProducer, IResponse
from zope.interface import implementer

CHUNK: Final = 256 * 1024
"""Results up to this size are read and sent in one go: most are, and it saves a turn of the reactor each."""


class TooMuch(Exception):
    """The body is larger than it may be."""


class _Receiver(Protocol):
    """Feeds ``sink``; ``done`` fires when the body has ended well, and fails with whatever went wrong."""

    transport: Any

    def __init__(self, sink: Callable[[bytes], object], limit: int) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self.transport.loseConnection())
        self._sink = sink
        self._left = limit
        self._error: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        if self._error is not None:
            return
        self._left -= len(data)
        try:
            if self._left < 0:
                raise TooMuch("larger than expected")
            self._sink(data)
        except (TooMuch, OSError):
            self._error = Failure()
            self.transport.loseConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:  # cancelled
            return
        if self._error is None and reason.check(ResponseDone):
            self.done.callback(None)
        else:
            self.done.errback(self._error or reason)


def receive(response: IResponse, sink: Callable[[bytes], object], limit: int) -> Deferred[None]:
    """Feed a response's body to ``sink``.

    Raises:
        TooMuch: it is larger than ``limit`` bytes.
        OSError: as the sink raised it.
        ResponseFailed: as treq raises it.
    """
    receiver = _Receiver(sink, limit)
    response.deliverBody(receiver)
    return receiver.done


class HashedFile:
    """Writes and hashes on the way; a context manager."""

    def __init__(self, path: Path) -> None:
        self.size = 0
        self._path = path
        self._hash = hashlib.sha256()
        self._file: IO[bytes]

    def __enter__(self) -> HashedFile:
        self._file = self._path.open("wb", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()


@implementer(IBodyProducer)
class Multipart:
    """A ``multipart/form-data`` body: one file in the field ``data``."""

    def __init__(self, path: Path, content_type: str, boundary: str, clock: IReactorTime) -> None:
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._path = path
        self._clock = clock
        self._head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="data"; filename="result"\r\n'
            f"Content-Type: {content_type}\r\n\r\n"
        ).encode()
        self._tail = f"\r\n--{boundary}--\r\n".encode()
        self._size = path.stat().st_size
        self._rest: FileBodyProducer | None = None
        self.length = len(self._head) + self._size + len(self._tail)

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._size <= CHUNK:
            consumer.write(self._head + self._path.read_bytes() + self._tail)
            return succeed(None)
        cooperator = Cooperator(scheduler=lambda call: self._clock.callLater(0, call))
        self._rest = FileBodyProducer(self._path.open("rb"), cooperator, CHUNK)
        consumer.write(self._head)
        sent: Deferred[None] = self._rest.startProducing(consumer)
        return sent.addCallback(lambda _: consumer.write(self._tail))

    def pauseProducing(self) -> None:
        if self._rest is not None:
            self._rest.pauseProducing()

    def resumeProducing(self) -> None:
        if self._rest is not None:
            self._rest.resumeProducing()

    def stopProducing(self) -> None:
        if self._rest is not None:
            self._rest.stopProducing()

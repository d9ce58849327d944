"""Files as the body of a request, read while they are sent."""

from __future__ import annotations

import io
import secrets
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, TypeAlias

from attrs import frozen
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

from dpip.http.receiving import Progress

Source: TypeAlias = Path | bytes


@frozen
class FilePart:
    """A file of a form: its source, a path or bytes, and its name in the form."""

    source: Source
    name: str
    content_type: str


@implementer(IBodyProducer)
class MultipartBody:
    """A ``multipart/form-data`` body: form fields, then files, each in a field ``data``.

    ``piece`` bytes are read at a time, each in a turn of the reactor; ``moved`` is called for each. A body of
    one piece is sent without such a turn if ``at_once``. Raises OSError when a file is not there.
    """

    def __init__(
        self,
        fields: Mapping[str, str],
        files: Sequence[FilePart],
        clock: IReactorTime,
        piece: int,
        at_once: bool = False,
        moved: Progress | None = None,
    ) -> None:
        boundary = secrets.token_hex(16)
        self.content_type = f"multipart/form-data; boundary={boundary}"
        self._segments = list(_segments(fields, files, boundary))
        self.length = sum(map(size_of, self._segments))
        self._clock = clock
        self._piece = piece
        self._at_once = at_once
        self._moved = moved
        self._rest: FileBodyProducer | None = None

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        if self._at_once and self.length <= self._piece:
            consumer.write(b"".join(map(_read, self._segments)))
            return succeed(None)
        cooperator = Cooperator(scheduler=lambda work: self._clock.callLater(0, work))
        self._rest = FileBodyProducer(_Chain(self._segments, self._moved), cooperator, self._piece)
        sent: Deferred[None] = self._rest.startProducing(consumer)
        return sent

    def pauseProducing(self) -> None:
        if self._rest is not None:
            self._rest.pauseProducing()

    def resumeProducing(self) -> None:
        if self._rest is not None:
            self._rest.resumeProducing()

    def stopProducing(self) -> None:
        if self._rest is not None:
            self._rest.stopProducing()


def size_of(source: Source) -> int:
    """Return the size in bytes. Raises OSError when the file is not there."""
    return len(source) if isinstance(source, bytes) else source.stat().st_size


def _read(source: Source) -> bytes:
    return source if isinstance(source, bytes) else source.read_bytes()


def _segments(fields: Mapping[str, str], files: Sequence[FilePart], boundary: str) -> Iterator[Source]:
    for name, value in fields.items():
        head = f'--{boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n'
        yield f"{head}{value}\r\n".encode()
    for file in files:
        # As browsers write names in multipart bodies (HTML standard, multipart/form-data).
        name = file.name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")
        yield (
            f"--{boundary}\r\n"
            f'Content-Disposition: form-data; name="data"; filename="{name}"\r\n'
            f"Content-Type: {file.content_type}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")
        yield file.source
        yield b"\r\n"
    yield f"--{boundary}--\r\n".encode()


class _Chain:
    """A file of byte strings and files, one after the other, as far as FileBodyProducer uses it."""

    def __init__(self, segments: Iterable[Source], moved: Progress | None) -> None:
        self._moved = moved
        self._files: Iterator[IO[bytes]] = map(_opened, segments)
        self._file: IO[bytes] | None = next(self._files, None)

    def read(self, size: int) -> bytes:
        if self._moved is not None:
            self._moved()
        pieces: list[bytes] = []
        while self._file is not None and size > 0:
            piece = self._file.read(size)
            if piece:
                pieces.append(piece)
                size -= len(piece)
            else:
                self._file.close()
                self._file = next(self._files, None)
        return b"".join(pieces)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _opened(source: Source) -> IO[bytes]:
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb", buffering=0)

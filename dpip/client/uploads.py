"""Pictures as the body of ``POST /images``, read from disk while they are sent."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Final, TypeAlias
from uuid import uuid4

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer

_PIECE = 2**17  # bytes at a time: each costs a turn of the reactor; half a minute at 4 KiB a second
_TOGETHER: Final = 8
_TOGETHER_BYTES: Final = 2**20
"""As many files, and as much, go in one request at most, if there are more than one."""
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""As browsers write names in multipart bodies (HTML standard, multipart/form-data)."""


Source: TypeAlias = Path | bytes


@frozen
class Upload:
    """Files (path, or bytes) with their names, and form fields; :meth:`producer` makes a new body for each
    attempt."""

    files: Sequence[tuple[Source, str]]
    fields: Mapping[str, str]
    boundary: str = field(factory=lambda: uuid4().hex, init=False)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    def producer(self, clock: IReactorTime, moved: Callable[[], None]) -> FileBodyProducer:
        """Opens the files (raises OSError); ``moved`` is called for each piece that is taken."""
        chain = _Chain([], moved)
        try:
            chain.add(io.BytesIO(self._fields().encode()))
            for source, name in self.files:
                chain.add(io.BytesIO(self._head(name)))
                chain.add(io.BytesIO(source) if isinstance(source, bytes) else source.open("rb"))
                chain.add(io.BytesIO(b"\r\n"))
        except OSError:
            chain.close()
            raise
        chain.add(io.BytesIO(f"--{self.boundary}--\r\n".encode()))
        cooperator = Cooperator(scheduler=lambda work: clock.callLater(0, work))
        producer = FileBodyProducer(chain, cooperator, _PIECE)
        producer.length = chain.length
        return producer

    def _fields(self) -> str:
        return "".join(
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self.fields.items()
        )

    def _head(self, name: str) -> bytes:
        kind = mimetypes.guess_type(name)[0] or "application/octet-stream"
        return (
            f"--{self.boundary}\r\n"
            f'Content-Disposition: form-data; name="data"; filename="{name.translate(_ESCAPES)}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")


def together(files: Iterable[tuple[Source, str]]) -> Iterator[Sequence[tuple[Source, str]]]:
    """The same, those next to each other in one request where they are small: a request costs the server as
    much as such a file."""
    group: list[tuple[Source, str]] = []
    room = _TOGETHER_BYTES
    for source, name in files:
        size = _size(source)
        if group and (size > room or len(group) == _TOGETHER):
            yield group
            group, room = [], _TOGETHER_BYTES
        group.append((source, name))
        room -= size
    if group:
        yield group


def _size(source: Source) -> int:
    """What cannot be read is sent alone, so that nothing else fails with it."""
    try:
        return len(source) if isinstance(source, bytes) else source.stat().st_size
    except OSError:
        return _TOGETHER_BYTES


@define
class _Chain:
    """Several files read one after the other, as much of the file protocol as FileBodyProducer uses."""

    files: list[IO[bytes]]
    moved: Callable[[], None]
    length: int = field(default=0, init=False)

    def add(self, file: IO[bytes]) -> None:
        self.files.append(file)
        self.length += file.seek(0, io.SEEK_END)
        file.seek(0)

    def read(self, size: int) -> bytes:
        self.moved()
        pieces: list[bytes] = []
        while self.files and size > 0:
            piece = self.files[0].read(size)
            if piece:
                pieces.append(piece)
                size -= len(piece)
            else:
                self.files.pop(0).close()
        return b"".join(pieces)

    def close(self) -> None:
        for file in self.files:
            file.close()

"""A picture as the body of ``POST /images``, read from disk while it is sent."""

from __future__ import annotations

import io
import mimetypes
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO
from uuid import uuid4

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Cooperator
from twisted.web.client import FileBodyProducer

_PIECE = 2**17  # bytes at a time: each costs a turn of the reactor; half a minute at 4 KiB a second
_ESCAPES = str.maketrans({'"': "%22", "\r": "%0D", "\n": "%0A"})
"""As browsers write names in multipart bodies (HTML standard, multipart/form-data)."""


@frozen
class Upload:
    """A file (path, or bytes) with form fields; :meth:`producer` makes a new body for each attempt."""

    file: Path | bytes
    name: str
    fields: Mapping[str, str]
    boundary: str = field(factory=lambda: uuid4().hex, init=False)

    @property
    def content_type(self) -> str:
        return f"multipart/form-data; boundary={self.boundary}"

    def producer(self, clock: IReactorTime, moved: Callable[[], None]) -> FileBodyProducer:
        """Opens the file (raises OSError); ``moved`` is called for each piece that is taken."""
        file = io.BytesIO(self.file) if isinstance(self.file, bytes) else self.file.open("rb")
        size = file.seek(0, io.SEEK_END)
        file.seek(0)
        head, tail = self._head(), f"\r\n--{self.boundary}--\r\n".encode()
        chain = _Chain([io.BytesIO(head), file, io.BytesIO(tail)], moved)
        cooperator = Cooperator(scheduler=lambda work: clock.callLater(0, work))
        producer = FileBodyProducer(chain, cooperator, _PIECE)
        producer.length = len(head) + size + len(tail)
        return producer

    def _head(self) -> bytes:
        kind = mimetypes.guess_type(self.name)[0] or "application/octet-stream"
        fields = "".join(
            f'--{self.boundary}\r\nContent-Disposition: form-data; name="{name}"\r\n\r\n{value}\r\n'
            for name, value in self.fields.items()
        )
        name = self.name.translate(_ESCAPES)
        return (
            f"{fields}--{self.boundary}\r\n"
            f'Content-Disposition: form-data; name="data"; filename="{name}"\r\n'
            f"Content-Type: {kind}\r\n\r\n"
        ).encode("utf-8", "surrogateescape")


@define
class _Chain:
    """Several files read one after the other, as much of the file protocol as FileBodyProducer uses."""

    files: list[IO[bytes]]
    moved: Callable[[], None]

    def read(self, size: int) -> bytes:
        self.moved()
        while self.files:
            piece = self.files[0].read(size)
            if piece:
                return piece
            self.files.pop(0).close()
        return b""

    def close(self) -> None:
        for file in self.files:
            file.close()

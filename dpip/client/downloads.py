"""An image's bytes on their way to memory or disk, checked before anybody sees them."""

from __future__ import annotations

import os
import re
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import IO, Any

from attrs import define, field, frozen
from twisted.web.iweb import UNKNOWN_LENGTH, IResponse

from dpip.client.errors import Damaged
from dpip.client.transport import Write, header


@frozen
class Fetched:
    """What was downloaded, and verified; ``size`` is in bytes."""

    size: int
    sha256: str
    content_type: str


@define
class Download:
    """Takes one response's bytes; a context manager that leaves the whole file at ``to``, or nothing.

    Without ``to`` the bytes are kept in memory, see :attr:`data`.
    """

    to: Path | None
    _file: IO[bytes] = field(init=False)
    _hash: Any = field(factory=sha256, init=False)
    _size: int = field(default=0, init=False)
    _response: IResponse | None = field(default=None, init=False)

    def __enter__(self) -> Download:
        self._file = BytesIO() if self.to is None else self._part(self.to).open("wb")
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if self.to is None:
            return
        self._file.close()
        if kind is None:
            os.replace(self._part(self.to), self.to)
        else:
            self._part(self.to).unlink(missing_ok=True)

    @staticmethod
    def _part(to: Path) -> Path:
        return to.with_name(f".{to.name}.{os.getpid()}.part")

    def begin(self, response: IResponse) -> Write:
        """What takes the bytes of this response."""
        self._response = response
        return self._write

    def _write(self, data: bytes) -> None:
        self._hash.update(data)
        self._size += len(data)
        self._file.write(data)

    @property
    def data(self) -> bytes:
        """The bytes kept in memory."""
        self._file.seek(0)
        return self._file.read()

    def checked(self, what: str) -> Fetched:
        """What it is. Raises Damaged when length or hash are not those that the server named."""
        assert self._response is not None
        length = self._response.length
        if length not in (UNKNOWN_LENGTH, self._size):
            raise Damaged(f"{what} came with {self._size} bytes instead of {length}.")
        named = re.search(r"[0-9a-f]{64}", header(self._response, "ETag"))
        if named and named[0] != self._hash.hexdigest():
            raise Damaged(f"{what} does not match its hash: it was damaged on the way or in the store.")
        kind = header(self._response, "Content-Type").partition(";")[0].strip()
        return Fetched(self._size, self._hash.hexdigest(), kind)

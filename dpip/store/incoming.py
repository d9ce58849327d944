"""Uploads on their way into the store: small ones in memory, larger ones in temporary files.

An incoming file is written in the reactor's thread. ``hand_over`` gives its :class:`IncomingContent` to the
thread that writes files (``dpip.store.writing``).
"""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from threading import Lock
from typing import Any, Protocol

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from dpip.errors import DiskFull, DpipError, RetryLater, WrongHash
from dpip.interfaces import IIncomingFile

_log = Logger()

_CREATE = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
SMALL = 512 * 1024
"""Bytes of the largest upload that stays in memory."""


@contextmanager
def os_errors_explained() -> Iterator[None]:
    """Raise DiskFull or RetryLater, whose words are for people, in the place of an OSError."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DiskFull("The server's disk is full: the file was not kept.") from error
        _log.error("A file could not be written: {error}", error=error)
        raise RetryLater("The server could not write the file. Its log says why.", retry_after=5) from error


def _write_all(descriptor: int, data: bytes) -> None:
    with memoryview(data) as rest:
        written = 0
        while written < len(rest):
            written += os.write(descriptor, rest[written:])


def _exists(name: str, folder: int) -> bool:
    try:
        os.lstat(name, dir_fd=folder)
    except FileNotFoundError:
        return False
    return True


class IncomingContent(Protocol):
    """An upload's bytes, once they are whole. All of it may block, and raises OSError."""

    name: str | None
    is_small: bool

    @property
    def size(self) -> int: ...

    def verified(self) -> str:
        """Return the hash. Raises WrongHash unless it is the one that was announced."""

    def source(self) -> str | bytes:
        """Return what a picture's header is read from: a path, or the bytes."""

    def place(self, name: str, folder: int) -> int:
        """Give it its name in a folder, and return a descriptor of the file. A name is never taken over."""

    def discard(self) -> None:
        """Give back the memory, or remove what has not been placed; the last that is called."""


@define(eq=False)
class UploadMemory:
    """Bytes that uploads may hold in memory, all together; used by several threads."""

    limit: int
    held: int = field(default=0, init=False)
    _lock: Lock = field(factory=Lock, init=False)

    def take(self, size: int) -> bool:
        """Take so many bytes, if they are left."""
        with self._lock:
            fits = self.held + size <= self.limit
            self.held += size if fits else 0
            return fits

    def give_back(self, size: int) -> None:
        with self._lock:
            self.held -= size


@define(eq=False)
class MemoryContent:
    """The bytes of a small upload."""

    is_small = True

    name: str | None
    _data: bytes
    _sha256: str | None  # if it is known already
    _claimed: str | None
    _memory: UploadMemory

    @property
    def size(self) -> int:
        return len(self._data)

    def verified(self) -> str:
        return _checked_hash(self._sha256 or hashlib.sha256(self._data).hexdigest(), self._claimed)

    def source(self) -> bytes:
        return self._data

    def place(self, name: str, folder: int) -> int:
        """Write the file where it stays: a row refers to it only when it is durable."""
        descriptor = os.open(name, _CREATE, 0o600, dir_fd=folder)
        try:
            _write_all(descriptor, self._data)
        except BaseException:
            os.close(descriptor)
            os.unlink(name, dir_fd=folder)
            raise
        return descriptor

    def discard(self) -> None:
        self._memory.give_back(len(self._data))
        self._data = b""


@define(eq=False)
class FileContent:
    """A temporary file with an upload's bytes. ``hash_of(descriptor)`` gives their hash."""

    is_small = False

    size: int
    name: str | None
    _path: str
    _descriptor: int
    _claimed: str | None
    _hash_of: Callable[[int], str]
    _placed: bool = field(default=False, init=False)

    def verified(self) -> str:
        return _checked_hash(self._hash_of(self._descriptor), self._claimed)

    def source(self) -> str:
        return self._path

    def place(self, name: str, folder: int) -> int:
        if _exists(name, folder):  # nobody else makes this name after the look
            raise FileExistsError(f"{name} is there already")
        os.rename(self._path, name, dst_dir_fd=folder)
        self._placed = True
        return os.dup(self._descriptor)

    def discard(self) -> None:
        os.close(self._descriptor)
        if not self._placed:
            with suppress(FileNotFoundError):
                os.unlink(self._path)


def _checked_hash(found: str, claimed: str | None) -> str:
    if claimed not in (None, found):
        raise WrongHash.of(found)
    return found


@implementer(IIncomingFile)
@define(eq=False)
class TemporaryFile:
    """An upload in a temporary file. Any failure of a write removes it."""

    path: str
    name: str | None = field(default=None, init=False)
    size: int = field(default=0, init=False)
    claimed: str | None = field(default=None, init=False)
    _descriptor: int | None = field(default=None, init=False)
    _hash: Any = field(factory=hashlib.sha256, init=False)

    def __attrs_post_init__(self) -> None:
        with os_errors_explained():
            self._descriptor = os.open(self.path, _CREATE, 0o600)

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        self._hash.update(data)
        try:
            with os_errors_explained():
                _write_all(self._descriptor, data)
        except DpipError:
            self.abandon()
            raise
        self.size += len(data)

    def _hash_of(self, descriptor: int) -> str:
        return self.sha256

    def hand_over(self) -> IncomingContent:
        """Give the file to the caller; :meth:`abandon` does nothing from then on."""
        return FileContent(self.size, self.name, self.path, self._closed(), self.claimed, self._hash_of)

    def _closed(self) -> int:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def abandon(self) -> None:
        if self._descriptor is not None:
            os.close(self._closed())
            with suppress(FileNotFoundError):
                os.unlink(self.path)


@implementer(IIncomingFile)
@define(eq=False)
class IncomingFile:
    """An upload: in memory while it is small and the budget lasts, from then on in a temporary file."""

    _new_file: Callable[[], TemporaryFile]
    _memory: UploadMemory
    name: str | None = field(default=None, init=False)
    claimed: str | None = field(default=None, init=False)
    size: int = field(default=0, init=False)
    _pieces: list[bytes] | None = field(factory=list, init=False)  # None: not in memory (any more)
    _file: TemporaryFile | None = field(default=None, init=False)
    _sha256: str | None = field(default=None, init=False)

    @property
    def sha256(self) -> str:
        if self._file is not None:
            return self._file.sha256
        if self._sha256 is None:  # most need it only in the thread that writes
            self._sha256 = hashlib.sha256(b"".join(self._pieces or ())).hexdigest()
        return self._sha256

    def write(self, data: bytes) -> None:
        if self._pieces is not None and not self._fits(len(data)):
            self._spill()
        if self._pieces is not None:
            self._pieces.append(bytes(data))
            self._sha256 = None
        elif self._file is not None:
            self._file.write(data)
        else:
            raise ValueError("the file is closed")
        self.size += len(data)

    def _fits(self, size: int) -> bool:
        return self.size + size <= SMALL and self._memory.take(size)

    def _spill(self) -> None:
        pieces = self._forget_pieces()
        self._file = self._new_file()
        for piece in pieces:
            self._file.write(piece)

    def _forget_pieces(self) -> list[bytes]:
        """Return the pieces; they count no longer."""
        pieces, self._pieces = self._pieces or [], None
        self._memory.give_back(sum(map(len, pieces)))
        return pieces

    def hand_over(self) -> IncomingContent:
        """Give the content to the caller; :meth:`abandon` does nothing from then on."""
        if self._file is not None:
            self._file.name, self._file.claimed = self.name, self.claimed
            return self._file.hand_over()
        if self._pieces is None:
            raise ValueError("the file is closed")
        pieces, self._pieces = self._pieces, None
        return MemoryContent(self.name, b"".join(pieces), self._sha256, self.claimed, self._memory)

    def abandon(self) -> None:
        self._forget_pieces()
        if self._file is not None:
            self._file.abandon()

"""The temporary file of one upload."""

from __future__ import annotations

import errno
import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from dpip.errors import DiskFull, DpipError, RetryLater, WrongHash
from dpip.interfaces import IIncomingFile

_log = Logger()


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


@implementer(IIncomingFile)
@define(eq=False)
class IncomingFile:
    """One upload's temporary file. Any failure of a write removes it."""

    path: str
    name: str | None = field(default=None, init=False)
    size: int = field(default=0, init=False)
    claimed: str | None = field(default=None, init=False)
    _descriptor: int | None = field(default=None, init=False)
    _hash: Any = field(factory=hashlib.sha256, init=False)

    def __attrs_post_init__(self) -> None:
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        with os_errors_explained():
            self._descriptor = os.open(self.path, flags, 0o600)

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        if self._descriptor is None:
            raise ValueError("the file is closed")
        self._hash.update(data)
        try:
            with os_errors_explained(), memoryview(data) as rest:
                written = 0
                while written < len(rest):
                    written += os.write(self._descriptor, rest[written:])
        except DpipError:
            self.abandon()
            raise
        self.size += len(data)

    def verified(self, descriptor: int) -> str:
        """The file's hash, once it is whole and has been handed over. It may block. Raises WrongHash."""
        found = self._hash_of(descriptor)
        if self.claimed not in (None, found):
            raise WrongHash.of(found)
        return found

    def _hash_of(self, descriptor: int) -> str:
        return self.sha256

    def hand_over(self) -> int:
        """Give the descriptor and the file to the caller; :meth:`abandon` does nothing from then on."""
        if self._descriptor is None:
            raise ValueError("the file is closed")
        descriptor, self._descriptor = self._descriptor, None
        return descriptor

    def abandon(self) -> None:
        if self._descriptor is not None:
            os.close(self.hand_over())
            with suppress(FileNotFoundError):
                os.unlink(self.path)

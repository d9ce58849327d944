"""Receives the body of a response into a file or memory, piece by piece."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from errno import ENOSPC
from hashlib import sha256
from typing import IO, Self

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

Write = Callable[[bytes], object]
Progress = Callable[[], None]


class BodyTooLarge(Exception):
    """The body is larger than it may be."""


class _Receiver(Protocol):
    """Passes each piece of a body to ``write``; ``done`` fires at its end, or fails.

    After an error of its own it closes the connection first, so that there are never more than callers.
    """

    def __init__(self, write: Write, limit: int, moved: Progress | None) -> None:
        self.done: Deferred[None] = Deferred(lambda _: self._hang_up())
        self._write = write
        self._left = limit
        self._moved = moved
        self._error: Failure | None = None

    def dataReceived(self, data: bytes) -> None:
        if self.done.called or self._error is not None:
            return
        if self._moved is not None:
            self._moved()
        self._left -= len(data)
        try:
            if self._left < 0:
                raise BodyTooLarge("The body is larger than it may be.")
            self._write(data)
        except Exception:  # noqa: BLE001 - whatever it is, the caller gets it
            self._error = Failure()
            self._hang_up()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self.done.called:
            return
        # PotentialDataLoss is a body of unstated length ended by closing: its hash tells whether it is whole.
        if self._error is None and isinstance(reason.value, ResponseDone | PotentialDataLoss):
            self.done.callback(None)
        else:
            self.done.errback(self._error or reason)

    def _hang_up(self) -> None:
        if self.transport is not None:
            self.transport.loseConnection()


def receive(
    response: IResponse, write: Write, limit: int = sys.maxsize, moved: Progress | None = None
) -> Deferred[None]:
    """Pass a response's body to ``write``; ``moved`` is called for each piece.

    Raises BodyTooLarge when it is larger than ``limit`` bytes, ResponseFailed when it breaks off, and what
    ``write`` raises.
    """
    receiver = _Receiver(write, limit, moved)
    response.deliverBody(receiver)
    return receiver.done


class HashedFile:
    """Hashes and counts what is written to an unbuffered ``file``; a context manager that closes it."""

    def __init__(self, file: IO[bytes]) -> None:
        self.size = 0
        self._file = file
        self._hash = sha256()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, data: bytes) -> None:
        """Write all of it. Raises OSError, also when only a part was written."""
        if self._file.write(data) != len(data):
            raise OSError(ENOSPC, os.strerror(ENOSPC))
        self._hash.update(data)
        self.size += len(data)

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

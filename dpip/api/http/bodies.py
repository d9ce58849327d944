"""Request bodies: small ones are held in memory, uploads go straight into the image store."""

from __future__ import annotations

from typing import Any, Protocol

from attrs import define, field

from dpip.api.http.forms import texts
from dpip.api.http.limits import HttpLimits
from dpip.api.http.multipart import MultipartReader
from dpip.errors import RetryLater, TooLarge
from dpip.interfaces import IAdmission, IImageStore, IIncomingFile
from dpip.runtime.shares import Shares


class Body(Protocol):
    """A body as it arrives. ``write`` and ``end`` raise DpipError when it is not acceptable."""

    def write(self, data: bytes) -> None: ...

    def end(self) -> None:
        """Note that all bytes have arrived."""

    def close(self) -> None:
        """Throw away what has not been kept of it; idempotent."""


@define
class Held:
    """What one request holds of something that users share; ``what`` names it in the plural."""

    shares: Shares
    user: str
    what: str
    count: int = field(default=0, init=False)

    def take(self, more: int = 1) -> None:
        """Raises RetryLater when the user has its share."""
        if not self.shares.has_room(self.user, more):
            raise RetryLater(
                f"Many {self.what} are on their way at the moment. Send fewer at once, or try again."
            )
        self.shares.take(self.user, more)
        self.count += more

    def give_back(self) -> None:
        """Give all of it back; idempotent."""
        self.shares.give_back(self.user, self.count)
        self.count = 0


@define
class SmallBody:
    """A body that is held in memory, up to ``limit`` bytes; a chunked one is bounded as it grows."""

    limit: int
    turn: Held | None = None
    room: Held | None = None  # the bytes of it
    data: bytearray = field(factory=bytearray, init=False)

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self.limit:
            raise too_large(self.limit)
        if self.room is not None:
            self.room.take(len(data))
        self.data += data

    def end(self) -> None:
        return None

    def close(self) -> None:
        self.data = bytearray()
        for held in (self.turn, self.room):
            if held is not None:
                held.give_back()


@define
class UploadBody:
    """A multipart body. Its files are written and hashed as they arrive, in whatever order the parts come."""

    admission: IAdmission
    image_store: IImageStore
    boundary: bytes
    limits: HttpLimits
    more_files: Held
    turn: Held | None
    incoming: list[IIncomingFile] = field(factory=list, init=False)
    _size: int = field(default=0, init=False)
    _reader: MultipartReader = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = MultipartReader(self.boundary, self._open, self.limits)

    def write(self, data: bytes) -> None:
        self._size += len(data)
        if self._size > self.admission.limit:
            raise too_large(self.admission.limit)
        self.admission.grow(self._size)
        self._reader.write(data)

    def end(self) -> None:
        self._reader.end()
        self.admission.arrived()

    def close(self) -> None:
        for file in self.incoming:
            file.abandon()
        self.more_files.give_back()
        self.admission.release()
        if self.turn is not None:
            self.turn.give_back()

    @property
    def files(self) -> list[IIncomingFile]:
        """The files in body order, but for the empty nameless one that a browser sends for an empty field."""
        return [file for file in self.incoming if file.size or file.name]

    def fields(self) -> dict[str, Any]:
        return texts(self._reader.fields)

    def _open(self, name: str | None) -> IIncomingFile:
        if self.incoming:
            self.more_files.take()
        file: IIncomingFile = self.image_store.incoming()
        self.incoming.append(file)
        file.name = name
        return file


def too_large(limit: int) -> TooLarge:
    return TooLarge(f"The request's body is longer than the {limit} bytes that are taken here.", limit=limit)

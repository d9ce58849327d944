"""An image store that works at once and promises nothing: no thread, no fsync."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import Any, BinaryIO

from attrs import define, field
from twisted.internet.defer import Deferred, fail, maybeDeferred, succeed
from zope.interface import implementer

from dpip.errors import NotAnImage, TooLarge, WrongHash
from dpip.filters.codec.headers import probe
from dpip.interfaces import IImageStore, IIncomingFile
from dpip.model import ImageType, StoredFile, StoredPicture
from dpip.store.image_store import read_exactly


@implementer(IIncomingFile)
@define(eq=False)
class PlainFile:
    """``name`` is the client's."""

    path: str
    name: str | None = None
    size: int = 0
    claimed: str | None = None
    _hash: Any = field(factory=hashlib.sha256)
    _file: BinaryIO = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._file = open(self.path, "xb", buffering=0)  # noqa: SIM115 - closed by flush or abandon

    @property
    def sha256(self) -> str:
        return str(self._hash.hexdigest())

    def write(self, data: bytes) -> None:
        self._file.write(data)
        self._hash.update(data)
        self.size += len(data)

    def close(self) -> None:
        self._file.close()

    def abandon(self) -> None:
        self._file.close()
        if os.path.exists(self.path):
            os.remove(self.path)


@implementer(IImageStore)
@define(slots=False)
class PlainImageStore:
    """Under ``root``, a directory that exists."""

    root: str
    _count: int = 0

    def incoming(self) -> IIncomingFile:
        self._count += 1
        return PlainFile(os.path.join(self.root, f"incoming-{self._count}"))

    def keep(
        self, incoming: Any, directory: str, type: ImageType, image_id: str, max_pixels: int
    ) -> Deferred[StoredFile]:
        try:
            return succeed(self._keep(incoming, directory, f"{image_id}.{type.value}", max_pixels))
        except (NotAnImage, TooLarge, WrongHash) as problem:
            incoming.abandon()
            return fail(problem)

    def _keep(self, incoming: PlainFile, directory: str, name: str, max_pixels: int) -> StoredFile:
        incoming.close()
        if incoming.claimed not in (None, incoming.sha256):
            raise WrongHash.of(incoming.sha256)
        found = probe(incoming.path)
        if found.pixels > max_pixels:
            raise TooLarge(f"The picture has {found.pixels} pixels; this server takes {max_pixels}.")
        os.makedirs(os.path.join(self.root, directory), exist_ok=True)
        path = f"{directory}/{name}"
        os.rename(incoming.path, self.absolute(path))
        picture = StoredPicture(
            found.format, found.content_type, found.width, found.height, found.decoded_bytes
        )
        return StoredFile(path, incoming.size, incoming.sha256, picture, incoming.name)

    def discard(self, path: str) -> Deferred[None]:
        if os.path.exists(self.absolute(path)):
            os.remove(self.absolute(path))
        return succeed(None)

    def discard_directory(self, directory: str) -> Deferred[None]:
        shutil.rmtree(self.absolute(directory), ignore_errors=True)
        return succeed(None)

    def read(self, path: str, start: int, length: int) -> Deferred[bytes]:
        return maybeDeferred(read_exactly, self.absolute(path), start, length)

    def absolute(self, path: str) -> str:
        return os.path.join(self.root, path)

"""``GET /workloads/{id}/archive``: a workload's images in one file, in upload order, made while it is sent.

It takes memory for a page of rows, a piece of a file and the names that are used already.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from enum import StrEnum
from typing import Final

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dpip.api.archive_formats import ArchiveWriter, Entry, Names, TarWriter, ZipWriter
from dpip.api.http.auth import Access
from dpip.api.http.downloads import SANDBOX
from dpip.api.http.filenames import content_disposition, plain_name, safe_path
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request
from dpip.api.http.routes import ApiCall, Route
from dpip.api.http.streams import BodyWriter, begin_body
from dpip.api.images import image_type, places_of
from dpip.errors import TooManyRequests
from dpip.interfaces import IController, IImageStore
from dpip.model import Image, ImageType, Principal, Workload
from dpip.runtime.transports import PIECE

_PAGE: Final = 500  # rows
MAX_SELECTED: Final = 100_000  # images of a selection


class Format(StrEnum):
    ZIP = "zip"
    TAR = "tar"


_WRITERS: Final[dict[Format, type[ZipWriter] | type[TarWriter]]] = {
    Format.ZIP: ZipWriter,
    Format.TAR: TarWriter,
}


@define
class ArchiveRoutes:
    controller: IController
    image_store: IImageStore
    _sending: Counter[str] = field(factory=Counter, init=False)  # archives of each user

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/workloads/<workload_id>/archive", Access.USERS, self.archive, by_link=True),
        ]

    async def archive(self, call: ApiCall, workload_id: str) -> Archive:
        """Download the results, or the originals with ``type=original``, in one file under their own names.

        ``seqs`` chooses places, as ``0-3,7``. Folders in the names are folders in the archive. ``format`` is
        ``zip`` or ``tar``.
        """
        kind = image_type(call.fields) or ImageType.FILTERED
        writer = _WRITERS[call.fields.choice("format", Format) or Format.ZIP]()
        seqs = places_of(call.fields, MAX_SELECTED)
        workload = (await self.controller.workload(call.by, workload_id)).workload
        shown = self.controller, self.image_store, call.by, workload, kind, writer
        return Archive(*shown, seqs, self._sending)


@define
class Archive:
    """An archive is an answer that is made while it is sent: a :class:`dpip.api.http.streams.Streamed`."""

    controller: IController
    image_store: IImageStore
    by: Principal
    workload: Workload
    kind: ImageType
    writer: ArchiveWriter
    seqs: Sequence[int] | None = None  # only these places
    sending: Counter[str] = field(factory=Counter)
    _names: Names = field(factory=Names, init=False)

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        """Write the archive. Raises TooManyRequests when its user has enough of them under way."""
        user = self.by.name
        if self.sending[user] >= limits.archives:
            raise TooManyRequests(f"{limits.archives} archives of {user} are on their way already.", 10)
        self.sending[user] += 1
        try:
            await self._send(request, clock, limits)
        finally:
            self.sending[user] -= 1

    async def _send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        name = plain_name(self.workload.spec.name, self.workload.id) + self.writer.extension
        headers = {
            "Content-Type": self.writer.content_type,
            "Content-Disposition": content_disposition(name, "attachment"),
            "Cache-Control": "no-store",
            **SANDBOX,
        }
        if begin_body(request, headers):
            with BodyWriter(request, clock, limits.stall_seconds) as out:
                async for image in self._images():
                    await self._add(image, out)
                for piece in self.writer.end():
                    await out.write(piece)

    async def _images(self) -> AsyncIterator[Image]:
        """Yield the images by ``seq``.

        Raises NotFound when the workload is deleted meanwhile: then the archive is cut short.
        """
        if self.seqs is not None:
            for first in range(0, len(self.seqs), _PAGE):
                some = self.seqs[first : first + _PAGE]
                for image in await self.controller.images_at(self.by, self.workload.id, self.kind, some):
                    yield image
            return
        after: int | None = None
        while page := await self.controller.images(self.by, self.workload.id, self.kind, after, _PAGE):
            for image in page:
                yield image
            after = page[-1].seq

    async def _add(self, image: Image, out: BodyWriter) -> None:
        entry = await self._entry(image)
        pieces = self._pieces(image)
        await out.write(self.writer.before(entry) + await anext(pieces, b""))
        async for piece in pieces:
            await out.write(piece)
        padding = self.writer.after(entry)
        if padding:
            await out.write(padding)

    async def _entry(self, image: Image) -> Entry:
        name = self._names.unique(safe_path(image.file.name, image.id, image.file.picture.content_type))
        crc = 0
        if self.writer.needs_crc:  # which comes first: the file is read twice, the second time from memory
            async for piece in self._pieces(image):
                crc = zlib.crc32(piece, crc)
        return Entry(name, image.file.size, image.created_at, crc)

    async def _pieces(self, image: Image) -> AsyncIterator[bytes]:
        """Yield the file's bytes. Raises NotFound, and OSError for a file that is not as its record says."""
        for start in range(0, image.file.size, PIECE):
            length = min(PIECE, image.file.size - start)
            yield await self.image_store.read(image.file.path, start, length)

"""Several pictures in one body (``dpip.http.batch``): a worker's results in, originals and results out."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dpip.api.http.answers import write_head
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request
from dpip.api.http.streams import BodyWriter
from dpip.errors import Malformed, NotFound
from dpip.http.batch import CONTENT_TYPE, MAX_BYTES, MAX_ITEMS, BadBatch, BatchReader, list_head
from dpip.interfaces import IAdmission, IImageStore, IIncomingFile
from dpip.link import worker_messages as wire
from dpip.model import Image

_log = Logger()


@define
class ResultsBody:
    """A batch of a worker's results. Its list is a :class:`dpip.link.worker_messages.ResultFiles`."""

    admission: IAdmission
    image_store: IImageStore
    results: Sequence[wire.ResultFile] = field(default=(), init=False)
    incoming: list[IIncomingFile] = field(factory=list, init=False)
    _reader: BatchReader = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = BatchReader(self._begin, self._write_piece)

    def write(self, data: bytes) -> None:
        _checked(self._reader.write, data)

    def end(self) -> None:
        _checked(self._reader.end)
        self.admission.arrived()

    def close(self) -> None:
        for file in self.incoming:
            file.abandon()
        self.admission.release()

    def _begin(self, data: bytes) -> Sequence[int]:
        self.results = wire.decode(data, wire.ResultFiles).results
        sizes = [result.size for result in self.results]
        if len(sizes) > MAX_ITEMS or sum(sizes) > MAX_BYTES:
            raise Malformed(f"A batch has at most {MAX_ITEMS} results and {MAX_BYTES} bytes.")
        for result in self.results:
            file: IIncomingFile = self.image_store.incoming()
            file.claimed = result.sha256
            self.incoming.append(file)
        return sizes

    def _write_piece(self, place: int, data: bytes) -> None:
        self.incoming[place].write(data)


def _checked(do: Callable[..., None], *args: Any) -> None:
    try:
        do(*args)
    except BadBatch as error:
        raise Malformed(str(error)) from None


@frozen
class BatchDownload:
    """An answer that is several pictures, a :class:`dpip.api.http.streams.Streamed`.

    Each has its own status in the list. ``read(image)`` gives a picture's bytes, and raises NotFound or
    OSError; one that would not fit has 413, and is to be asked for alone.
    """

    images: Sequence[Image | None]
    read: Callable[[Image], bytes]

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        request.made = " of " + ",".join(image.id for image in self.images if image is not None)
        listed, pieces = self._contents()
        head = list_head(json.dumps(listed).encode())
        size = len(head) + sum(map(len, pieces))
        headers = {"Content-Type": CONTENT_TYPE, "Content-Length": str(size), "Cache-Control": "no-store"}
        write_head(request, 200, headers, request.id)
        with BodyWriter(request, clock, limits.stall_seconds) as out:
            for piece in (head, *pieces):
                await out.write(piece)

    def _contents(self) -> tuple[list[dict[str, Any]], list[bytes]]:
        listed, pieces, left = [], [], MAX_BYTES
        for image in self.images:
            status, data = self._one(image, left)
            entry: dict[str, Any] = {"status": status}
            if image is not None and status == 200:
                file = image.file
                entry |= {"size": len(data), "sha256": file.sha256, "type": file.picture.content_type}
                entry |= {"notices": file.notices} if file.notices else {}
                pieces.append(data)
                left -= len(data)
            listed.append(entry)
        return listed, pieces

    def _one(self, image: Image | None, left: int) -> tuple[int, bytes]:
        if image is None:
            return 404, b""
        if image.file.size > left:
            return 413, b""
        try:
            return 200, self.read(image)
        except NotFound:
            return 404, b""
        except OSError as error:  # it is damaged: the others are not
            _log.error("Image {image} cannot be read: {error}", image=image.id, error=error)
            return 500, b""

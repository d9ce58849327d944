"""Images out of their files: with an ETag, in ranges, in constant memory, at the pace the client reads."""

# mypy: disallow-untyped-calls=False
# twisted.web is not annotated.

from __future__ import annotations

import re
from io import FileIO
from typing import Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IPushProducer, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dpip.api.http.answers import cut_short, write_head
from dpip.api.http.filenames import content_disposition, safe_name
from dpip.api.http.limits import HttpLimits
from dpip.api.http.problems import RangeNotSatisfiable
from dpip.api.http.request import Request
from dpip.api.http.stall_timeout import StallTimeout
from dpip.errors import NotFound
from dpip.model import Image, Role
from dpip.runtime.platform import advise_sequential_read
from dpip.runtime.transports import PIECE

_ONE_WRITE = PIECE  # a file up to this size is read and written at once: no producer, one system call less

#: For browsers: nothing in it may do anything.
SANDBOX: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*$")


@frozen
class Download:
    """An answer that is a picture's file. ``path`` is where it lies on this machine."""

    path: str
    image: Image

    @property
    def etag(self) -> str:
        return f'"{self.image.file.sha256}"'

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        """A :class:`dpip.api.http.streams.Streamed`."""
        headers = _headers(self)
        if request.principal is None or request.principal.role is not Role.WORKER:
            headers |= sandboxed(self.image, self.image.file.picture.content_type)
        if not_modified(request.header("If-None-Match"), self.etag):
            write_head(request, 304, headers, request.id)
            return
        size = self.image.file.size
        part = byte_range(request.header("Range"), size) if _range_applies(request, self) else None
        start, length = part or (0, size)
        headers |= {"Content-Type": self.image.file.picture.content_type, "Content-Length": str(length)}
        if part is not None:
            headers["Content-Range"] = f"bytes {start}-{start + length - 1}/{size}"
        # Opening and reading costs some ten microseconds: the file was written or announced a moment ago.
        file = _open(self.path)
        write_head(request, 200 if part is None else 206, headers, request.id)
        if request.method == b"HEAD":
            file.close()
            return
        file.seek(start)
        if length <= _ONE_WRITE:
            with file:
                request.write(_exactly(file, length))
            return
        producer = FileProducer(request, file, length, StallTimeout(request, clock, limits.stall_seconds))
        try:
            await producer.start()
        finally:
            producer.close()


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Whether the client's copy is good. The comparison is weak, as RFC 9110, 13.1.2 asks."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """``(start, length)``, or None to send the whole: RFC 9110 lets a server ignore what it does not know.

    Raises RangeNotSatisfiable.
    """
    match = _RANGE.match((header or "").strip())
    if match is None or match.groups() == ("", ""):
        return None
    first, last = match.groups()
    if first == "":
        start, stop = max(0, size - int(last)), size
    else:
        start, stop = int(first), size if last == "" else min(int(last) + 1, size)
        if last != "" and int(last) < start:
            return None
    if start >= size or start >= stop:
        raise RangeNotSatisfiable(f"The image has {size} bytes.", size)
    return start, stop - start


def _open(path: str) -> FileIO:
    try:
        return FileIO(path)
    except FileNotFoundError:  # deleted since its record was read
        raise NotFound("The image is gone.") from None


def _headers(download: Download) -> dict[str, str]:
    return {
        "ETag": download.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # keep it, but ask each time: it may be deleted
    }


def sandboxed(image: Image, content_type: str) -> dict[str, str]:
    """For browsers: what to call it, and that nothing in it may do anything."""
    name = safe_name(image.file.name, image.id, content_type)
    return {"Content-Disposition": content_disposition(name), **SANDBOX}


def _range_applies(request: Request, download: Download) -> bool:
    """If-Range: the range is meant for that very content, else the whole is wanted."""
    condition = request.header("If-Range")
    return condition is None or condition.strip() == download.etag


def _exactly(file: FileIO, length: int) -> bytes:
    data = file.read(length)
    if data is None or len(data) != length:
        raise OSError(f"{file.name!r} is shorter than its record says")
    return data


@implementer(IPushProducer)
@define(eq=False)
class FileProducer:
    """Writes ``length`` bytes of a file while the transport takes them.

    The transport asks for a pause as soon as its buffer is full, so that a slow client costs two chunks of
    memory; one that takes nothing for too long is dropped.
    """

    log = Logger()

    request: Request
    file: FileIO
    remaining: int
    stall_timeout: StallTimeout
    _paused: bool = field(default=False, init=False)
    _writing: bool = field(default=False, init=False)
    _done: Deferred[None] = field(factory=Deferred, init=False)

    def start(self) -> Deferred[None]:
        """Fires when all has been handed to the transport, and not at all when the client leaves."""
        advise_sequential_read(self.file.fileno())
        self.request.registerProducer(self, True)
        self.resumeProducing()
        return self._done

    def pauseProducing(self) -> None:
        self._paused = True
        self.stall_timeout.full()

    def resumeProducing(self) -> None:
        self._paused = False
        self.stall_timeout.taking()
        if self._writing:  # the transport resumed us from within our own write
            return
        self._writing = True
        try:
            while not self._paused and self.remaining:
                self._write_chunk()
        finally:
            self._writing = False
        if not self.remaining and not self.file.closed:
            self.close()
            self._done.callback(None)

    def stopProducing(self) -> None:
        """The client is gone. ``_done`` stays silent: to fire it would finish a request that is dead."""
        self.remaining = 0
        self.close()

    def _write_chunk(self) -> None:
        data = self.file.read(min(PIECE, self.remaining))
        if data:
            self.remaining -= len(data)
            self.request.write(data)
            return
        self.log.error("{path!r} is shorter than its record says", path=self.file.name)
        self.stopProducing()
        cut_short(self.request)

    def close(self) -> None:
        """Idempotent, and harmless when the connection is gone."""
        self.stall_timeout.taking()
        if not self.file.closed:
            self.file.close()
            if self.request.channel is not None:
                self.request.unregisterProducer()

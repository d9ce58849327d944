"""Downloads of images from their files: with an ETag, in ranges, in constant memory, at the client's pace."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from io import FileIO
from typing import Final

from attrs import frozen
from twisted.internet.interfaces import IReactorTime

from dpip.api.http.answers import write_head
from dpip.api.http.filenames import content_disposition, safe_name
from dpip.api.http.limits import HttpLimits
from dpip.api.http.problems import RangeNotSatisfiable
from dpip.api.http.request import Request
from dpip.api.http.streams import BodyWriter
from dpip.errors import NotFound
from dpip.model import Image, Role
from dpip.runtime.platform import advise_sequential_read
from dpip.runtime.transports import PIECE

#: For browsers: nothing in it may do anything.
SANDBOX: Final = {"Content-Security-Policy": "default-src 'none'; sandbox"}

#: Characters. nginx takes 4 KiB of header by default, whole.
_LONGEST_NOTICES: Final = 3000

_RANGE = re.compile(r"bytes\s*=\s*(\d{0,18})\s*-\s*(\d{0,18})\s*$")


@frozen
class Download:
    """An answer that is a picture's file, a :class:`dpip.api.http.streams.Streamed`.

    ``path`` is where the file is on this machine.
    """

    path: str
    image: Image

    @property
    def etag(self) -> str:
        return f'"{self.image.file.sha256}"'

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
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
        with _open(self.path) as file:
            write_head(request, 200 if part is None else 206, headers, request.id)
            if request.method != b"HEAD":
                file.seek(start)
                await _write_file(request, file, length, clock, limits)


async def _write_file(
    request: Request, file: FileIO, length: int, clock: IReactorTime, limits: HttpLimits
) -> None:
    if length <= PIECE:  # read and written at once: no producer, one system call less
        request.write(_exactly(file, length))
        return
    advise_sequential_read(file.fileno())
    with BodyWriter(request, clock, limits.stall_seconds) as out:
        for left in range(length, 0, -PIECE):
            await out.write(_exactly(file, min(PIECE, left)))


def not_modified(if_none_match: str | None, etag: str) -> bool:
    """Say whether the client's copy is good. The comparison is weak, as RFC 9110, 13.1.2 asks."""
    if if_none_match is None:
        return False
    known = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in known or etag.removeprefix("W/") in known


def byte_range(header: str | None, size: int) -> tuple[int, int] | None:
    """Return ``(start, length)``, or None to send the whole.

    RFC 9110 lets a server ignore a range that it does not understand. Raises RangeNotSatisfiable.
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
    notices = download.image.file.notices
    return {
        "ETag": download.etag,
        "Accept-Ranges": "bytes",
        "Cache-Control": "private, no-cache",  # keep it, but ask each time: it may be deleted
        **({"DPIP-Notices": _in_header(notices)} if notices else {}),
    }


def _in_header(notices: Sequence[str]) -> str:
    """Return notices as JSON in ASCII, as many as fit: proxies refuse answers with long headers."""
    for count in range(len(notices), -1, -1):
        left_out = [f"The image's record has {len(notices) - count} more."] if count < len(notices) else []
        text = json.dumps([*notices[:count], *left_out])
        if len(text) <= _LONGEST_NOTICES:
            break
    return text


def sandboxed(image: Image, content_type: str) -> dict[str, str]:
    """Return headers that tell browsers what to call the file, and that nothing in it may do anything."""
    name = safe_name(image.file.name, image.id, content_type)
    return {"Content-Disposition": content_disposition(name), **SANDBOX}


def _range_applies(request: Request, download: Download) -> bool:
    """Say whether the range is wanted: with If-Range it is only for that very content."""
    condition = request.header("If-Range")
    return condition is None or condition.strip() == download.etag


def _exactly(file: FileIO, length: int) -> bytes:
    data = file.read(length)
    if data is None or len(data) != length:
        raise OSError(f"{file.name!r} is shorter than its record says")
    return data

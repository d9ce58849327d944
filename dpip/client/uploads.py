"""Uploads: pictures as bodies of ``POST /images``."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from dpip.http.multipart import FilePart, MultipartBody, Source, size_of
from dpip.http.receiving import Progress

_PIECE: Final = 2**17
"""The bytes between two calls of ``moved``: half a minute at 4 KiB/s, less than the idle timeout."""
_MAX_GROUP: Final = 8
_MAX_GROUP_BYTES: Final = 2**20
"""The limits of a request with several files: their number, and their bytes."""


def upload_body(
    workload_id: str, files: Sequence[tuple[Source, str]], clock: IReactorTime, moved: Progress
) -> MultipartBody:
    """Make the body for ``files``, each a path or bytes and a name. Raises OSError when one is not there."""
    parts = [
        FilePart(source, name, mimetypes.guess_type(name)[0] or "application/octet-stream")
        for source, name in files
    ]
    return MultipartBody({"workload_id": workload_id}, parts, clock, _PIECE, moved=moved)


def group_small_files(files: Iterable[tuple[Source, str]]) -> Iterator[Sequence[tuple[Source, str]]]:
    """Yield neighbouring small files as groups for one request: a request costs as much as a small file."""
    group: list[tuple[Source, str]] = []
    room = _MAX_GROUP_BYTES
    for source, name in files:
        size = _size(source)
        if group and (size > room or len(group) == _MAX_GROUP):
            yield group
            group, room = [], _MAX_GROUP_BYTES
        group.append((source, name))
        room -= size
    if group:
        yield group


def _size(source: Source) -> int:
    """Return the size in bytes; a file that cannot be read counts as large, so that it fails alone."""
    try:
        return size_of(source)
    except OSError:
        return _MAX_GROUP_BYTES

"""Pictures as bodies of ``POST /images``."""

from __future__ import annotations

import mimetypes
from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from twisted.internet.interfaces import IReactorTime

from dpip.http.multipart import FilePart, MultipartBody, Source, size_of
from dpip.http.receiving import Progress

_PIECE: Final = 2**17
"""Half a minute at 4 KiB a second, in which nothing seems to move."""
_TOGETHER: Final = 8
_TOGETHER_BYTES: Final = 2**20
"""As many files, and as much, go in one request at most, if there are more than one."""


def upload_body(
    workload_id: str, files: Sequence[tuple[Source, str]], clock: IReactorTime, moved: Progress
) -> MultipartBody:
    """Files (path, or bytes) with their names. Raises OSError when one is not there."""
    parts = [
        FilePart(source, name, mimetypes.guess_type(name)[0] or "application/octet-stream")
        for source, name in files
    ]
    return MultipartBody({"workload_id": workload_id}, parts, clock, _PIECE, moved=moved)


def together(files: Iterable[tuple[Source, str]]) -> Iterator[Sequence[tuple[Source, str]]]:
    """The same, those next to each other in one request where they are small: a request costs the server as
    much as such a file."""
    group: list[tuple[Source, str]] = []
    room = _TOGETHER_BYTES
    for source, name in files:
        size = _size(source)
        if group and (size > room or len(group) == _TOGETHER):
            yield group
            group, room = [], _TOGETHER_BYTES
        group.append((source, name))
        room -= size
    if group:
        yield group


def _size(source: Source) -> int:
    """What cannot be read is sent alone, so that nothing else fails with it."""
    try:
        return size_of(source)
    except OSError:
        return _TOGETHER_BYTES

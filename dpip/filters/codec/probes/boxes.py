"""Boxes: the container of HEIF, AVIF, JPEG 2000, JPEG XL, Canon's raw photographs, and films.

Source: ISO/IEC 14496-12 (ISO base media file format).
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

import attrs

_MOST = 10_000  # boxes of one file that are looked at
_LARGEST = 8 << 20  # bytes of a box that is read whole
_ROOMY = frozenset({b"moov", b"trak", b"mdia", b"minf", b"stbl"})


@attrs.frozen
class Box:
    """A box: its contents are the bytes from ``start`` to ``end`` of the file."""

    kind: bytes
    start: int
    end: int

    def body(self, file: BinaryIO) -> bytes:
        """Read the contents. Raises ValueError for more than any honest one has, EOFError."""
        if self.end - self.start > _LARGEST:
            raise ValueError
        file.seek(self.start)
        data = file.read(self.end - self.start)
        if len(data) < self.end - self.start:
            raise EOFError
        return data


def walk(file: BinaryIO, start: int = 0, end: int | None = None) -> Iterator[Box]:
    """Yield the boxes between two places, those within the containers of films too. Raises ValueError."""
    last = file.seek(0, os.SEEK_END)
    open_boxes = [(start, last if end is None else min(end, last))]
    seen = 0
    while open_boxes:
        place, stop = open_boxes.pop()
        if place + 8 > stop:
            continue
        seen += 1
        if seen > _MOST:
            raise ValueError
        box = _box(file, place, stop)
        open_boxes.append((box.end, stop))
        yield box
        if box.kind in _ROOMY:
            open_boxes.append((box.start, box.end))


def _box(file: BinaryIO, place: int, stop: int) -> Box:
    file.seek(place)
    head = file.read(16)
    size, kind = struct.unpack_from(">I4s", head)
    start = place + 8
    if size == 1:
        (size,) = struct.unpack_from(">Q", head, 8)
        start += 8
    end = stop if size == 0 else place + size
    if end < start:
        raise ValueError
    return Box(kind, start, min(end, stop))


def within(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and contents of the boxes in these bytes."""
    for box in walk(io.BytesIO(data)):
        yield box.kind, data[box.start : box.end]


def brands(file: BinaryIO) -> tuple[bytes, frozenset[bytes]]:
    """Return the major brand of a file that begins with ``ftyp``, and all of them."""
    file.seek(0)
    box = _box(file, 0, min(file.seek(0, os.SEEK_END), 4096))
    body = box.body(file)
    every = frozenset(body[place : place + 4] for place in range(8, len(body) - 3, 4))
    return body[:4], every | {body[:4]}

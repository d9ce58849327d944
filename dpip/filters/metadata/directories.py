"""Directories of tags, as a TIFF and EXIF have them: read and written.

A value is kept as the bytes that it has in the file, in the file's byte order, so nothing is lost of kinds
that nobody here understands. Sources: TIFF 6.0, BigTIFF, EXIF 2.32.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Literal

import attrs

EXIF, GPS, INTEROPERABILITY, MAKER_NOTE = 34665, 34853, 40965, 37500
_DIRECTORIES = frozenset({EXIF, GPS, INTEROPERABILITY})
#: Bytes of one number of each type; 13 and 18 are places of directories.
SIZES = {
    1: 1,
    2: 1,
    3: 2,
    4: 4,
    5: 8,
    6: 1,
    7: 1,
    8: 2,
    9: 4,
    10: 8,
    11: 4,
    12: 8,
    13: 4,
    16: 8,
    17: 8,
    18: 8,
    129: 1,
}
#: Their codes in struct; those of rational numbers are for each of the two parts.
_CODES = {1: "B", 3: "H", 4: "I", 5: "I", 6: "b", 8: "h", 9: "i", 10: "i", 11: "f", 12: "d", 13: "I", 16: "Q"}
_CODES |= {17: "q", 18: "Q"}
_MOST = 4096  # tags in a directory


@attrs.frozen
class Layout:
    """How a file writes numbers: ``order`` as in struct; places have 4 bytes, or 8 in a BigTIFF."""

    order: Literal["<", ">"] = "<"
    big: bool = False

    @classmethod
    def of(cls, data: bytes) -> Layout:
        order: Literal["<", ">"] = ">" if data[:2] == b"MM" else "<"
        return cls(order, struct.unpack_from(order + "H", data, 2)[0] == 43)

    @property
    def place(self) -> str:
        return self.order + ("Q" if self.big else "I")

    @property
    def count(self) -> str:
        return self.order + ("Q" if self.big else "H")

    @property
    def entry(self) -> str:
        return self.order + ("HHQ8s" if self.big else "HHI4s")

    @property
    def inline(self) -> int:
        """The bytes of a place, or of a value in its stead."""
        return 8 if self.big else 4

    @property
    def header(self) -> bytes:
        """The file's first bytes; the place of the first directory follows them."""
        mark = b"II" if self.order == "<" else b"MM"
        return mark + struct.pack(
            self.order + ("HHH" if self.big else "H"), *((43, 8, 0) if self.big else (42,))
        )

    def numbers(self, kind: int, *values: float) -> Tag:
        """Make an entry of numbers of that type."""
        pairs = 2 if kind in (5, 10) else 1
        value = struct.pack(f"{self.order}{len(values)}{_CODES[kind]}", *values)
        return Tag(kind, len(values) // pairs, value)

    def parsed(self, entry: Tag) -> tuple[float, ...]:
        """Return the numbers of an entry, two for each rational one; none if it holds others."""
        code = _CODES.get(entry.kind)
        if code is None:
            return ()
        numbers: tuple[float, ...] = struct.unpack(
            f"{self.order}{len(entry.value) // struct.calcsize(code)}{code}", entry.value
        )
        return numbers


@attrs.frozen
class Tag:
    """A tag's type, the number of its values, and their bytes; ``within`` is the directory it points to.

    ``at`` is the place in the file where the value has to lie; None leaves it to the writer.
    """

    kind: int
    count: int
    value: bytes = attrs.field(repr=False)
    within: dict[int, Tag] | None = None
    at: int | None = None


Directory = dict[int, Tag]


def read(data: bytes, layout: Layout, offset: int, wanted: frozenset[int] | None = None) -> Directory:
    """Read the directory at ``offset``, and those within it, by default all tags.

    What lies outside the file is left out, and so is the rest where values are larger than the file together:
    they overlap.
    """
    return _read(data, layout, offset, wanted, _Room(len(data)), depth=0)


@attrs.define
class _Room:
    left: int

    def take(self, size: int) -> bool:
        self.left -= size
        return self.left >= 0


def _read(
    data: bytes, layout: Layout, offset: int, wanted: frozenset[int] | None, room: _Room, depth: int
) -> Directory:
    found: Directory = {}
    start = offset + struct.calcsize(layout.count)
    if offset <= 0 or start > len(data):
        return found
    (count,) = struct.unpack_from(layout.count, data, offset)
    size = struct.calcsize(layout.entry)
    for place in range(start, start + min(count, _MOST) * size, size):
        if place + size > len(data):
            break
        tag, kind, number, value = struct.unpack_from(layout.entry, data, place)
        if kind not in SIZES or tag in found or (wanted is not None and tag not in wanted):
            continue
        if tag in _DIRECTORIES:
            if depth < 2 and (within := _within(data, layout, value, room, depth)):
                found[tag] = Tag(4, 1, b"", within)
            continue
        length = SIZES[kind] * number
        (at,) = (
            (place + size - layout.inline,) if length <= layout.inline else struct.unpack(layout.place, value)
        )
        if at + length <= len(data) and room.take(length):
            stays = tag == MAKER_NOTE and length > layout.inline
            found[tag] = Tag(kind, number, data[at : at + length], at=at if stays else None)
    return found


def _within(data: bytes, layout: Layout, value: bytes, room: _Room, depth: int) -> Directory:
    (place,) = struct.unpack_from(layout.order + "I", value)
    if layout.big:
        (place,) = struct.unpack(layout.place, value)
    return _read(data, layout, place, None, room, depth + 1)


def table(
    directory: Directory, layout: Layout, start: int, shared: dict[bytes, int] | None = None
) -> tuple[bytes, int]:
    """Write a directory that will lie at ``start``, after its values and those within it.

    Returns the bytes and the directory's own place in the file; the place of the next directory, at its end,
    is 0. ``shared`` has long values that are in the file already, with their places, and gets the new ones.
    """
    body = bytearray()
    rows = bytearray()
    for tag in sorted(directory):
        entry = directory[tag]
        value = entry.value
        if entry.within is not None:
            inside, place = table(entry.within, layout, start + len(body))
            body += inside + bytes(len(inside) % 2)
            kind = 18 if layout.big else 4
            rows += struct.pack(layout.entry, tag, kind, 1, struct.pack(layout.place, place))
        else:
            if len(value) > layout.inline:
                place = -1 if shared is None else shared.get(value, -1)
                if entry.at is not None:
                    place = entry.at
                if place < 0:
                    place = start + len(body)
                    body += value + bytes(len(value) % 2)
                    if shared is not None and len(value) > 64:
                        shared[value] = place
                value = struct.pack(layout.place, place)
            rows += struct.pack(layout.entry, tag, entry.kind, entry.count, value.ljust(layout.inline, b"\0"))
    count = struct.pack(layout.count, len(directory))
    return bytes(body + count + rows + bytes(layout.inline)), start + len(body)


def only(directory: Directory, tags: Iterable[int]) -> Directory:
    return {tag: directory[tag] for tag in tags if tag in directory}

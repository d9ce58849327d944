"""JPEGs that follow a JPEG in its file: the other view of a stereo pair, a gain map, previews; and films.

They are found by CIPA's multi-picture format (DC-007), or because one begins where the first ends.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import BinaryIO, Literal

import attrs

from dpip.filters.metadata import directories, jpeg, xmp
from dpip.filters.metadata.directories import Directory, Layout, Tag

_VERSION, _COUNT, _ENTRIES = 0xB000, 0xB001, 0xB002
_ATTRIBUTES = range(0xB101, 0xB210)
_MOST, _SEGMENTS, _LONGEST_VALUE, _LONGEST_HEAD = 32, 1000, 256, 1 << 20
#: The kind of a picture that is shown where only one is, and that with the mark of the one to be shown.
PRIMARY, _REPRESENTATIVE = 0x030000, 0x20030000
_PREVIEWS = range(0x010001, 0x020000)  # kinds of pictures that are smaller ones of the first
_STARTS = b"\xff\xd8\xff"
_PADDING = 64  # bytes after the picture that need no word
_FILMS = (b"MotionPhoto_Data", b"ftypmp4", b"ftypisom", b"ftypqt", b"ftypheic", b"ftypavc")

Kind = Literal["view", "gain", "depth", "preview", "other"]


@attrs.frozen
class Piece:
    """A JPEG at ``place`` in the file, and what it is; ``attribute`` is its entry's first number."""

    kind: Kind
    place: int
    size: int
    attribute: int = 0


@attrs.frozen
class Following:
    """What follows the first picture; data of JPEGs."""

    views: tuple[bytes, ...] = ()
    gain: bytes | None = None
    notices: tuple[str, ...] = ()
    #: Of the first picture, and of each view.
    kinds: tuple[int, ...] = (0,)


def following(data: bytes) -> Following:
    """Find what follows the first picture, and tell of what is left out."""
    places = [
        (start, end) for marker, start, end in jpeg.walk(data) if _is_mpf(marker, data[start : start + 4])
    ]
    last = data.find(b"\xff\xd9")
    if not places and (last < 0 or last + 2 == len(data)):
        return Following()
    size = _size(io.BytesIO(data), 0)
    pieces = _listed(data, places[0], size) if places else []
    end = jpeg.end(data)
    if not pieces and data.startswith(_STARTS, end):
        found = _piece(io.BytesIO(data), end, jpeg.end(data[end:]), 0, size)
        pieces = [attrs.evolve(found, kind="other") if found.kind == "view" else found]
    views = tuple(data[each.place : each.place + each.size] for each in pieces if each.kind == "view")
    gains = [data[each.place : each.place + each.size] for each in pieces if each.kind == "gain"]
    first = _kind_of_first(data[slice(*places[0])]) if places else _REPRESENTATIVE
    kinds = (first, *(each.attribute for each in pieces if each.kind == "view"))
    return Following(views, gains[0] if gains else None, tuple(_told(data, end, pieces)), kinds)


def _is_mpf(marker: int, start: bytes) -> bool:
    return marker == jpeg.APP2 and start == jpeg.MPF


def _told(data: bytes, end: int, pieces: list[Piece]) -> Iterator[str]:
    kinds = [piece.kind for piece in pieces]
    if "depth" in kinds:
        yield xmp.DEPTH_LEFT_OUT
    if others := kinds.count("other"):
        yield (
            f"{others} further pictures in the file were left out."
            if others > 1
            else ("A further picture in the file was left out.")
        )
    rest = data[max((piece.place + piece.size for piece in pieces), default=end) :]
    if any(name in rest for name in _FILMS):
        yield xmp.FILM_LEFT_OUT
    elif len(rest.strip(b"\0\r\n ")) > _PADDING:
        yield f"What follows the picture in its file was left out: {len(rest):,} bytes."


def views(file: BinaryIO, start: int, end: int, size: tuple[int, int]) -> int:
    """Count the pictures of that size that the segment between the two places names, besides the first."""
    try:
        file.seek(start)
        payload = file.read(end - start)
        return sum(piece.kind == "view" for piece in _pieces(file, payload, start, size))
    except (struct.error, ValueError, OverflowError):
        return 0


def _listed(data: bytes, place: tuple[int, int], size: tuple[int, int]) -> list[Piece]:
    try:
        return list(_pieces(io.BytesIO(data), data[slice(*place)], place[0], size))
    except (struct.error, ValueError, OverflowError):
        return []


def _pieces(file: BinaryIO, payload: bytes, start: int, size: tuple[int, int]) -> Iterator[Piece]:
    """Yield the JPEGs that the index in ``payload``, which lies at ``start``, names besides the first."""
    seen = set()
    for attribute, length, offset in _entries(payload):
        if offset and offset not in seen:
            seen.add(offset)
            yield _piece(file, start + len(jpeg.MPF) + offset, length, attribute, size)


def _entries(payload: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield attribute, length and place of each entry of the index."""
    index = payload[len(jpeg.MPF) :]
    if index[:4] not in (b"II*\0", b"MM\0*"):
        return
    layout = Layout.of(index)
    (place,) = struct.unpack_from(layout.place, index, 4)
    entries = directories.read(index, layout, place).get(_ENTRIES)
    table = entries.value[: 16 * _MOST] if entries is not None else b""
    for attribute, length, offset, _, _ in struct.iter_unpack(
        layout.order + "IIIHH", table[: len(table) // 16 * 16]
    ):
        yield attribute, length, offset


def _kind_of_first(payload: bytes) -> int:
    try:
        return next((attribute for attribute, _, offset in _entries(payload) if not offset), _REPRESENTATIVE)
    except struct.error:
        return _REPRESENTATIVE


def _piece(file: BinaryIO, place: int, length: int, attribute: int, size: tuple[int, int]) -> Piece:
    file.seek(place)
    if file.read(3) != _STARTS:
        return Piece("other", place, 0, attribute)
    gain = depth = False
    for marker, payload in _head(file, place):
        gain |= marker == jpeg.APP2 and payload.startswith(jpeg.ISO_GAIN_MAP)
        gain |= marker == jpeg.APP1 and xmp.says_gain_map(payload)
        depth |= marker == jpeg.APP1 and xmp.says_depth(payload)
    if gain or depth:
        return Piece("gain" if gain else "depth", place, length, attribute)
    if attribute & 0xFFFFFF in _PREVIEWS:
        return Piece("preview", place, length, attribute)
    return Piece("view" if _size(file, place) == size else "other", place, length, attribute)


def _head(file: BinaryIO, place: int) -> Iterator[tuple[int, bytes]]:
    """Yield APP1, APP2 and the frame's header of the JPEG at that place."""
    position = place + 2
    for _ in range(_SEGMENTS):
        if position > place + _LONGEST_HEAD:
            return
        file.seek(position)
        head = file.read(4)
        if len(head) < 4 or head[0] != 0xFF or head[1] in (jpeg.SOS, jpeg.EOI):
            return
        length = int.from_bytes(head[2:])
        frame = 0xC0 <= head[1] <= 0xCF and head[1] not in (0xC4, 0xC8, 0xCC)
        if frame or head[1] in (jpeg.APP1, jpeg.APP2):
            yield head[1], file.read(max(0, length - 2))
        position += 2 + max(length, 2)


def _size(file: BinaryIO, place: int) -> tuple[int, int]:
    for marker, payload in _head(file, place):
        if marker not in (jpeg.APP1, jpeg.APP2) and len(payload) >= 5:
            height, width = struct.unpack_from(">HH", payload, 1)
            return width, height
    return 0, 0


@attrs.frozen
class Attributes:
    """What the format says of one picture, such as its place in a stereo pair; ``kind`` is a number of it."""

    kind: int = 0
    tags: Directory = attrs.field(factory=dict)
    layout: Layout = attrs.field(factory=Layout)


def attributes(data: bytes, kind: int = 0) -> Attributes:
    found: Directory = {}
    layout = Layout()
    for marker, start, end in jpeg.walk(data):
        index = data[start + 4 : end]
        if _is_mpf(marker, data[start : start + 4]) and index[:4] in (b"II*\0", b"MM\0*"):
            layout = Layout.of(index)
            for directory in _chain(index, layout):
                found |= directories.only(directory, _ATTRIBUTES)
    short = {tag: entry for tag, entry in found.items() if len(entry.value) <= _LONGEST_VALUE}
    return Attributes(kind, short, layout)


def _chain(index: bytes, layout: Layout) -> Iterator[Directory]:
    """Yield the index and the attributes, the directory after it."""
    (place,) = struct.unpack_from(layout.place, index, 4) if len(index) >= 8 else (0,)
    for _ in range(2):
        if not 0 < place <= len(index) - 2:
            return
        yield directories.read(index, layout, place)
        place += 2 + 12 * struct.unpack_from(layout.count, index, place)[0]
        (place,) = struct.unpack_from(layout.place, index, place) if place + 4 <= len(index) else (0,)


def joined(pictures: list[bytes], said: list[Attributes]) -> bytes:
    """Write several JPEGs one after the other, with an index in the first."""
    others = [
        _with_segment(data, _own(each)) if each.tags else data
        for data, each in zip(pictures[1:], said[1:], strict=True)
    ]
    first, nothing = pictures[0], [0] * len(pictures)
    start = _place(first)
    sizes = [len(first) + 4 + len(_index(said, nothing, nothing)), *map(len, others)]
    base = start + 4 + len(jpeg.MPF)
    places = [0, *(sum(sizes[:number]) - base for number in range(1, len(sizes)))]
    return b"".join((_with_segment(first, _index(said, sizes, places)), *others))


def _index(said: list[Attributes], sizes: list[int], places: list[int]) -> bytes:
    """Write the index, and after it the attributes of the first picture."""
    first = said[0]
    rows = b"".join(
        struct.pack(first.layout.order + "IIIHH", each.kind, size, place, 0, 0)
        for each, size, place in zip(said, sizes, places, strict=True)
    )
    index = {_VERSION: Tag(7, 4, b"0100"), _COUNT: first.layout.numbers(4, len(said))}
    body, place = directories.table(index | {_ENTRIES: Tag(7, len(rows), rows)}, first.layout, 8)
    if first.tags:
        more, following = directories.table(first.tags, first.layout, 8 + len(body))
        body = body[:-4] + struct.pack(first.layout.place, following) + more
    return jpeg.MPF + first.layout.header + struct.pack(first.layout.place, place) + body


def _own(each: Attributes) -> bytes:
    body, place = directories.table(each.tags, each.layout, 8)
    return jpeg.MPF + each.layout.header + struct.pack(each.layout.place, place) + body


def _place(data: bytes) -> int:
    """Return the place behind EXIF and XMP."""
    place = 2
    for marker, _, end in jpeg.walk(data):
        if marker not in (jpeg.APP0, jpeg.APP1):
            return place
        place = end
    return place


def _with_segment(data: bytes, payload: bytes) -> bytes:
    place = _place(data)
    return data[:place] + jpeg.segment(jpeg.APP2, payload) + data[place:]

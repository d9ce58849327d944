"""Raw photographs: the sensor's data as a camera wrote it, recognised by content.

Most are TIFF files whose first page is a small preview. Sources: the DNG specification 1.7, TIFF/EP, and the
descriptions of the makers' formats in libraw and ExifTool.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from typing import BinaryIO

from dpip.filters.codec.info import PictureInfo, unpack
from dpip.filters.codec.probes import boxes

#: By the bytes that a file begins with. Those of the kinds that are TIFF files are with TIFF's.
MAGICS = {
    b"IIRO": "ORF",
    b"IIRS": "ORF",
    b"MMOR": "ORF",
    b"IIU\0": "RW2",
    b"FUJIFILMCCD-RAW": "RAF",
    b"\0MRM": "MRW",
}
_SUBFILE, _WIDTH, _HEIGHT, _PHOTOMETRIC, _MAKE, _INNER, _DNG = 254, 256, 257, 262, 271, 330, 50706
_SENSOR = (32803, 34892)  # photometric interpretations: colour filter array, linear raw
_MOST_DIRECTORIES = 64
_SIZES = {1: 1, 3: 2, 4: 4, 13: 4}

Directory = Mapping[int, tuple[int, ...]]


def is_raw(first: Mapping[int, int], start: bytes) -> bool:
    """Tell by the tags of a TIFF's first page whether it is a raw photograph."""
    preview = first.get(_SUBFILE, 0) & 1 and _INNER in first
    return bool(start[8:10] == b"CR" or _DNG in first or first.get(_PHOTOMETRIC) in _SENSOR or preview)


def tiff(file: BinaryIO, start: bytes) -> PictureInfo:
    """Describe a raw photograph that is a TIFF file: as large as the largest picture in it."""
    order = "<" if start[:1] == b"I" else ">"
    widths = [(_WIDTH, _HEIGHT), (2, 3)]  # Panasonic's have the sensor's size in tags of their own
    found = [
        (page[wide][0], page[high][0])
        for page in _directories(file, order, struct.unpack_from(order + "I", start, 4)[0])
        for wide, high in widths
        if wide in page and high in page
    ]
    return _info(max(found, key=lambda size: size[0] * size[1], default=(0, 0)))


def _info(size: tuple[int, int]) -> PictureInfo:
    if not size[0] or not size[1]:
        raise ValueError
    return PictureInfo("RAW", *size, 3, 16)


def _directories(file: BinaryIO, order: str, place: int) -> Iterator[Directory]:
    """Yield the directories of the chain and those within them."""
    waiting, seen = [place], set[int]()
    end = file.seek(0, os.SEEK_END)
    while waiting:
        place = waiting.pop()
        if not place or place in seen or place >= end:
            continue
        seen.add(place)
        if len(seen) > _MOST_DIRECTORIES:
            raise ValueError
        directory, following = _directory(file, order, place)
        waiting += [following, *directory.get(_INNER, ())]
        yield directory


def _directory(file: BinaryIO, order: str, place: int) -> tuple[Directory, int]:
    file.seek(place)
    (count,) = unpack(file, order + "H")
    if count > 4096:
        raise ValueError
    table = file.read(12 * count)
    (following,) = unpack(file, order + "I")
    tags: dict[int, tuple[int, ...]] = {}
    for tag, kind, number, value in struct.iter_unpack(order + "HHI4s", table):
        if tag in (2, 3, _WIDTH, _HEIGHT, _INNER) and kind in _SIZES and 0 < number <= 16:
            layout = f"{order}{number}{ {1: 'B', 2: 'H', 4: 'I'}[_SIZES[kind]] }"
            if struct.calcsize(layout) > 4:
                file.seek(struct.unpack(order + "I", value)[0])
                value = file.read(struct.calcsize(layout))
            tags[tag] = struct.unpack_from(layout, value)
    return tags, following


def raf(file: BinaryIO, start: bytes) -> PictureInfo:
    """Fujifilm's: a table beside the preview tells the sensor's size."""
    file.seek(92)
    (place,) = unpack(file, ">I")
    file.seek(place)
    (count,) = unpack(file, ">I")
    for _ in range(min(count, 256)):
        tag, size = unpack(file, ">HH")
        if tag == 0x100:
            height, width = unpack(file, ">HH")
            return _info((width, height))
        file.seek(size, os.SEEK_CUR)
    raise ValueError


def mrw(file: BinaryIO, start: bytes) -> PictureInfo:
    """Minolta's."""
    if start[8:12] != b"\0PRD":
        raise ValueError
    file.seek(24)
    height, width = unpack(file, ">HH")
    return _info((width, height))


def cr3(file: BinaryIO) -> PictureInfo:
    """Canon's: the tracks of a film's container hold previews and the sensor's data."""
    sizes = []
    for box in boxes.walk(file):
        if box.kind == b"stsd":
            body = box.body(file)
            if body[12:16] == b"CRAW":
                sizes.append(struct.unpack_from(">HH", body, 40))
    if not sizes:
        raise ValueError
    return _info(max(sizes))


def probe(file: BinaryIO, start: bytes) -> PictureInfo:
    """Describe a raw photograph with a magic of its own."""
    kind = next(kind for magic, kind in MAGICS.items() if start.startswith(magic))
    return {"RAF": raf, "MRW": mrw}.get(kind, tiff)(file, start)

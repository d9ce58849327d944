"""TIFF: through Pillow, with our own code for 16-bit colour, which Pillow reduces to 8 bits.

For 16 bits, a new directory describes the file to Pillow as 8-bit gray with more columns: libtiff then undoes
every compression and returns the bytes as they are. Source: TIFF 6.0.
"""

from __future__ import annotations

import io
import struct
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
from PIL import Image, TiffImagePlugin

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.metadata import upright
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels

_WIDTH, _HEIGHT, _BITS, _COMPRESSION, _PHOTOMETRIC, _ORIENTATION, _SAMPLES = 256, 257, 258, 259, 262, 274, 277
_ROWS_PER_STRIP, _PLANAR, _PREDICTOR, _TILE_WIDTH, _EXTRA, _FORMAT = 278, 284, 317, 322, 338, 339
#: Tags that say where the bytes are and how they are packed, which the new directory keeps.
_KEPT = frozenset({_COMPRESSION, 266, 273, _ROWS_PER_STRIP, 279, _TILE_WIDTH, 323, 324, 325})
#: Tags for the places and lengths of a page's pieces: its strips, or its tiles.
_PIECES = frozenset({273, 279, 324, 325})
#: Types of whole numbers: their code in struct, and their bytes.
_NUMBERS = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 16: ("Q", 8)}
#: Compressions that libtiff can write for every kind of picture.
_ANY_KIND = frozenset({"raw", "packbits", "tiff_lzw", "tiff_deflate", "tiff_adobe_deflate", "zstd", "lzma"})

# tag -> (type, count, the bytes of the value or its place)
_Directory = dict[int, tuple[int, int, bytes]]


@attrs.frozen
class _Layout:
    """How a file writes numbers: ``order`` as in struct; places have 4 bytes, or 8 in a BigTIFF."""

    order: str
    big: bool = False

    @classmethod
    def of(cls, data: bytes) -> _Layout:
        order = "<" if data[:2] == b"II" else ">"
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
        """The bytes of a place, or of a value in its stead; also where the first place is."""
        return struct.calcsize(self.place)

    def long(self, value: int) -> tuple[int, int, bytes]:
        """Make an entry of one number."""
        return 4, 1, struct.pack(self.order + "I", value).ljust(self.inline, b"\0")

    def table(self, page: _Directory) -> bytes:
        """Write the directory, without the place of the next one, which follows it."""
        entries = b"".join(struct.pack(self.entry, tag, *page[tag]) for tag in sorted(page))
        return struct.pack(self.count, len(page)) + entries


_WRITTEN = _Layout("<")  # what Pillow writes


def decode(data: bytes, budget: DecodeBudget, bits: int) -> Picture:
    """Decode all pages. Raises UnsupportedPicture for other than unsigned whole numbers of up to 16 bits."""
    if bits > 16:
        raise UnsupportedPicture(
            f"The picture has {bits} bits per channel; DPIP filters 8 and 16 bits per channel."
        )
    if bits != 16:
        return pillow.decode(data, "TIFF", budget)
    layout = _Layout.of(data)
    pages = list(_directories(data, layout))
    budget.check_count(len(pages))
    metadata, style = _described(data, budget)
    frames = (Frame(_page(data, layout, page, budget)) for page in pages)
    return Picture("TIFF", frames, len(pages), metadata, style=style)


def _described(data: bytes, budget: DecodeBudget) -> tuple[Metadata, dict[str, Any]]:
    """Return metadata and style if Pillow knows this kind of picture: 16-bit gray with alpha it does not."""
    try:
        picture = pillow.decode(data, "TIFF", budget)
    except CorruptPicture:
        return Metadata(), {}
    return picture.metadata, picture.style


def _directories(data: bytes, layout: _Layout) -> Iterator[_Directory]:
    """Yield the directory of every page; loops and lengths were checked with the header."""
    (offset,) = struct.unpack_from(layout.place, data, layout.inline)
    while offset:
        yield _directory(data, layout, offset)
        (count,) = struct.unpack_from(layout.count, data, offset)
        end = offset + struct.calcsize(layout.count) + struct.calcsize(layout.entry) * count
        (offset,) = struct.unpack_from(layout.place, data, end)


def _directory(data: bytes | bytearray, layout: _Layout, offset: int) -> _Directory:
    """Read the directory at ``offset``."""
    (count,) = struct.unpack_from(layout.count, data, offset)
    offset += struct.calcsize(layout.count)
    size = struct.calcsize(layout.entry)
    entries = (struct.unpack_from(layout.entry, data, offset + size * n) for n in range(count))
    return {tag: (kind, number, value) for tag, kind, number, value in entries}


def _numbers(data: bytes, layout: _Layout, page: _Directory, tag: int, default: int) -> tuple[int, ...]:
    if tag not in page:
        return (default,)
    kind, count, value = page[tag]
    code, size = _NUMBERS[kind]
    numbers = f"{layout.order}{count}{code}"
    if size * count <= layout.inline:
        return struct.unpack_from(numbers, value)
    return struct.unpack_from(numbers, data, *struct.unpack(layout.place, value))


def _page(data: bytes, layout: _Layout, page: _Directory, budget: DecodeBudget | None = None) -> Pixels:
    with pillow.damage_as_corrupt():

        def number(tag: int, default: int = 1) -> int:
            return _numbers(data, layout, page, tag, default)[0]

        width, height, samples = number(_WIDTH), number(_HEIGHT), number(_SAMPLES)
        if budget is not None:  # else it is one plane of a page
            budget.take_frame(width, height)
        tile, predictor, photometric = number(_TILE_WIDTH, 0), number(_PREDICTOR), number(_PHOTOMETRIC)
        if (
            set(_numbers(data, layout, page, _BITS, 1)) != {16}
            or set(_numbers(data, layout, page, _FORMAT, 1)) != {1}
            or samples != {0: 1, 1: min(samples, 2), 2: min(max(samples, 3), 4)}.get(photometric)
            or number(_PLANAR) not in (1, 2)
            or predictor not in (1, 2)
            or number(_EXTRA, 2) == 1
        ):
            raise UnsupportedPicture(
                "This kind of 16-bit TIFF is not filtered: gray or RGB, with or without alpha, is."
            )
        if samples > 1 and number(_PLANAR) == 2:
            planes = (_plane(data, layout, page, place, samples) for place in range(samples))
            return np.stack([_page(data, layout, plane) for plane in planes], axis=-1)
        columns = {_WIDTH: width * samples * 2, _TILE_WIDTH: tile * samples * 2}
        raw = _as_bytes(data, layout, page, columns, height)
        pixels = raw.view(layout.order + "u2").astype(np.uint16).reshape(height, width, samples)
        if predictor == 2:
            for start in range(0, width, tile or width):  # differences begin anew in each tile
                part = pixels[:, start : start + (tile or width)]
                np.cumsum(part, axis=1, dtype=np.uint16, out=part)
        if photometric == 0:
            pixels = 65535 - pixels
        return upright(pixels if samples > 1 else pixels[..., 0], number(_ORIENTATION))


def _plane(data: bytes, layout: _Layout, page: _Directory, number: int, samples: int) -> _Directory:
    """Describe one channel of a page with separate planes as a gray page of its own."""
    plane = dict(page)
    for tag in _PIECES & page.keys():
        kind, count, value = page[tag]
        size = _NUMBERS[kind][1] * (count // samples)
        if _NUMBERS[kind][1] * count > layout.inline:
            (place,) = struct.unpack(layout.place, value)
            place += number * size
            value = data[place : place + size] if size <= layout.inline else struct.pack(layout.place, place)
        else:
            value = value[number * size :][:size]
        plane[tag] = kind, count // samples, value.ljust(layout.inline, b"\0")
    short = {_BITS: 16, _PHOTOMETRIC: 1, _SAMPLES: 1, _PLANAR: 1, _FORMAT: 1}
    return plane | {tag: layout.long(value) for tag, value in short.items()}


def _as_bytes(data: bytes, layout: _Layout, page: _Directory, columns: dict[int, int], height: int) -> Any:
    """Return the bytes of the page, decompressed, row by row."""
    long = {_WIDTH: columns[_WIDTH], _HEIGHT: height, _BITS: 8, _PHOTOMETRIC: 1, _SAMPLES: 1}
    if _TILE_WIDTH in page:
        long[_TILE_WIDTH] = columns[_TILE_WIDTH]
    entries = {tag: entry for tag, entry in page.items() if tag in _KEPT}
    entries |= {tag: layout.long(value) for tag, value in long.items()}
    end = len(data) + len(data) % 2
    place = struct.pack(layout.place, end)
    plain = data[: layout.inline] + place + data[layout.inline + len(place) :] + bytes(len(data) % 2)
    return np.asarray(
        Image.open(io.BytesIO(plain + layout.table(entries) + bytes(layout.inline)), formats=("TIFF",))
    )


def encode(frames: list[Frame], metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode all pages, with the original's compression if it can be used for any picture."""
    wide = [frame.pixels.shape if _is_wide(frame.pixels) else None for frame in frames]
    first, *rest = (
        Image.fromarray(_rows_of_bytes(frame.pixels) if shape else frame.pixels)
        for frame, shape in zip(frames, wide, strict=True)
    )
    compression = style.get("compression", "raw")
    if compression not in _ANY_KIND:
        compression = "tiff_adobe_deflate"
    out = io.BytesIO()
    options = pillow.metadata_options(metadata, "TIFF")
    first.save(out, "TIFF", save_all=True, append_images=rest, compression=compression, **options)
    return _completed(out.getvalue(), wide, metadata.exif)


def _is_wide(pixels: Pixels) -> bool:
    return pixels.dtype == np.uint16 and pixels.ndim == 3


def _rows_of_bytes(pixels: Pixels) -> Pixels:
    return pixels.astype("<u2").view(np.uint8).reshape(pixels.shape[0], -1)


def _completed(data: bytes, pages: list[tuple[int, ...] | None], exif: bytes | None) -> bytes:
    """Append what Pillow cannot write: new directories for the pages that need one.

    These are the first page, if its EXIF has directories, and each page that was written as rows of bytes.
    """
    result = bytearray(data + bytes(len(data) % 2))
    within = _append_within(result, exif)
    if not within and not any(pages):
        return data
    link = _WRITTEN.inline  # where the place of the next directory is written
    for page, shape in zip(_directories(data, _WRITTEN), pages, strict=True):
        if shape:
            page |= _wide(shape, result)
        if link == _WRITTEN.inline:
            page |= within
        struct.pack_into("<I", result, link, len(result))
        table = _WRITTEN.table(page)
        link = len(result) + len(table)
        result += table + bytes(_WRITTEN.inline)
    return bytes(result)


def _append_within(result: bytearray, exif: bytes | None) -> _Directory:
    """Append the directories within EXIF; returns the entries that say where they are."""
    tags = Image.Exif()
    tags.load(exif or b"")
    written = TiffImagePlugin.ImageFileDirectory_v2(b"II*\0" + bytes(4))
    for tag in pillow.DIRECTORIES & tags.keys():
        written[tag] = pillow.directory(tags, tag)
    if not len(written):
        return {}
    place = len(result)
    result += written.tobytes(place)
    result += bytes(len(result) % 2)
    return _directory(result, _WRITTEN, place)


def _wide(shape: tuple[int, ...], result: bytearray) -> _Directory:
    """Return entries for a page written as rows of bytes; appends values that do not fit into an entry."""
    _, width, samples = shape
    bits = len(result)
    result += struct.pack("<4H", 16, 16, 16, 16)
    place = struct.pack("<I", bits) if samples > 2 else struct.pack("<HH", 16, 16)
    short = {_PHOTOMETRIC: 2 if samples > 2 else 1, _SAMPLES: samples, _PLANAR: 1}
    if samples in (2, 4):
        short[_EXTRA] = 2  # alpha, and the colours not multiplied by it
    entries = {tag: (3, 1, struct.pack("<HH", value, 0)) for tag, value in short.items()}
    return entries | {_WIDTH: _WRITTEN.long(width), _BITS: (3, samples, place)}

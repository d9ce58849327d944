"""JPEG through libjpeg-turbo (simplejpeg), which releases the GIL where Pillow's codec does not.

Metadata never goes through a library: its segments are copied from the original into the result. Sources:
ITU-T T.81 for the format, the Independent JPEG Group's jcparam.c for the scale of quality.
"""

from __future__ import annotations

import functools
import io
import re
import struct
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.metadata import orientation, reset_orientation, upright
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels

_EXIF = b"Exif\x00\x00"
_XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_ICC = b"ICC_PROFILE\x00"
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Processes of T.81 that libjpeg-turbo or Pillow's build of it may not support.
_RARE = {0xC3: "a lossless one"} | dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical one")
_RARE |= dict.fromkeys((0xC9, 0xCA, 0xCB), "an arithmetically coded one")
_APP0, _APP1, _APP2, _APP13, _DQT, _SOS, _COM = 0xE0, 0xE1, 0xE2, 0xED, 0xDB, 0xDA, 0xFE
_LONGEST = 65533
DEFAULT_QUALITY = 90
MAX_SCANS = 200
"""A progressive JPEG has about ten, and few files have a hundred."""
MAX_SCANNED = 3 * 10**9
"""The limit on pixels times scans: ten scans of the largest picture are a third of it."""
_MARKER = re.compile(rb"\xff[^\xff]")
_SCAN = b"\xff\xda"  # cannot occur in entropy-coded data, where a zero follows each FF

_SUBSAMPLINGS = ("444", "422", "420", "440", "411")


def decode(data: bytes, budget: DecodeBudget, *, luma: bool = False, at_least: int = 0) -> Picture:
    """Decode a JPEG; with ``luma`` the Y of a YCbCr file becomes gray, straight from the file.

    If ``at_least`` is not 0, the inverse cosine transform may give fewer pixels: that many each way or more.
    CMYK, and all that libjpeg-turbo rejects, goes to Pillow, which decides what is damaged.

    Raises CorruptPicture; UnsupportedPicture, also for too many scans: each takes as long as a picture.
    """
    scans = data.count(_SCAN)
    if scans > MAX_SCANS:
        raise UnsupportedPicture(f"The JPEG has more than {MAX_SCANS} scans, which is the limit.")
    parts = list(segments(data))
    frame = _frame(parts)
    if scans * frame.height * frame.width > MAX_SCANNED:
        raise UnsupportedPicture(
            f"The JPEG has {scans} scans, which are too many for a picture of this size."
        )
    metadata = _metadata(parts)
    fresh = attrs.evolve(budget)
    try:
        height, width, colours, subsampling = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "Gray", "RGB"):
            return _by_pillow(data, metadata, parts, budget)
        budget.take_frame(width, height, 1 if colours == "Gray" else 3)
        gray = colours == "Gray" or (luma and colours == "YCbCr")
        pixels = simplejpeg.decode_jpeg(
            data, "GRAY" if gray else "RGB", min_height=at_least, min_width=at_least
        )
    except ValueError:
        return _by_pillow(data, metadata, parts, fresh)
    pixels = upright(pixels[..., 0] if gray else pixels, orientation(metadata.exif))
    kept = subsampling if subsampling in _SUBSAMPLINGS else "420"
    return _picture(pixels, metadata, _style(parts) | {"subsampling": kept})


def _by_pillow(
    data: bytes, metadata: Metadata, parts: list[tuple[int, bytes]], budget: DecodeBudget
) -> Picture:
    try:
        picture = pillow.decode(data, "JPEG", budget)
        (frame,) = picture.frames
    except CorruptPicture as problem:
        raise _rare(_frame(parts)) or problem from problem
    kept = attrs.evolve(metadata, icc=picture.metadata.icc)  # None if the pixels were converted by it
    return _picture(frame.pixels, kept, _style(parts) | {"subsampling": "420"})


@attrs.frozen
class _FrameHeader:
    """The frame header of T.81, B.2.2; ``marker`` names the process."""

    marker: int = 0xC0
    bits: int = 8
    height: int = 0
    width: int = 0
    channels: int = 3


def _frame(parts: list[tuple[int, bytes]]) -> _FrameHeader:
    for marker, payload in parts:
        if marker in _SOF and len(payload) >= 6:
            return _FrameHeader(marker, *struct.unpack_from(">BHHB", payload))
    return _FrameHeader()


def _rare(frame: _FrameHeader) -> UnsupportedPicture | None:
    """Say why no decoder here can read the picture even if it is whole; None if one could."""
    if frame.bits != 8:
        return UnsupportedPicture(f"The JPEG has {frame.bits} bits per channel; DPIP reads JPEGs of 8.")
    if frame.marker in _RARE:
        return UnsupportedPicture(f"The JPEG is {_RARE[frame.marker]}, which DPIP does not read.")
    if frame.channels not in (1, 3, 4):
        return UnsupportedPicture(f"The JPEG has {frame.channels} channels; DPIP reads 1, 3 and 4.")
    return None


def _picture(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> Picture:
    kept = attrs.evolve(metadata, exif=reset_orientation(metadata.exif))
    return Picture("JPEG", (Frame(pixels),), metadata=kept, style=style)


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, payload) of every segment up to the start of scan, as far as the file is whole.

    What lies between segments is skipped.
    """
    position = 2
    while found := _MARKER.search(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker <= 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length; 0 is data and no marker
            continue
        if marker == _SOS or position + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, data[position + 2 : position + length]
        position += max(length, 2)


def _metadata(parts: list[tuple[int, bytes]]) -> Metadata:
    exif = xmp = dpi = None
    icc: dict[int, bytes] = {}
    extra = []
    for marker, payload in parts:
        if marker == _APP1 and payload.startswith(_EXIF):
            exif = exif or payload[len(_EXIF) :]
        elif marker == _APP1 and payload.startswith(_XMP):
            xmp = payload[len(_XMP) :]
        elif marker == _APP2 and payload.startswith(_ICC) and len(payload) > 14:
            icc[payload[12]] = payload[14:]
        elif marker == _APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= 12:
            dpi = _density(*struct.unpack_from(">BHH", payload, 7))
        elif marker in (_COM, _APP13):
            extra.append((marker, payload))
    profile = b"".join(icc[number] for number in sorted(icc))
    return Metadata(exif, profile or None, xmp, dpi, tuple(extra))


def _density(unit: int, across: int, down: int) -> tuple[float, float] | None:
    scale = {1: 1.0, 2: 2.54}.get(unit)
    return (across * scale, down * scale) if scale and across and down else None


def _style(parts: list[tuple[int, bytes]]) -> dict[str, Any]:
    tables = b"".join(payload for marker, payload in parts if marker == _DQT)
    progressive = any(marker in (0xC2, 0xC6, 0xCA, 0xCE) for marker, _ in parts if marker in _SOF)
    return {"quality": estimate_quality(tables), "progressive": progressive}


def estimate_quality(tables: bytes) -> int:
    """Return the quality, 1 to 100, whose luminance table is nearest to that in the file's DQT payloads."""
    position = 0
    while position < len(tables):
        wide, number = tables[position] >> 4, tables[position] & 15
        kind = ">u2" if wide else "u1"
        size = 128 if wide else 64
        if number == 0 and position + 1 + size <= len(tables):
            table = np.frombuffer(tables, kind, 64, position + 1).astype(np.int64)
            distance = np.abs(_scaled_tables() - table).sum(axis=1)
            return int(np.flatnonzero(distance == distance.min())[-1]) + 1
        position += 1 + size
    return DEFAULT_QUALITY


# Annex K.1, in the zigzag order of the file.
_LUMINANCE = """
    16 11 12 14 12 10 16 14 13 14 18 17 16 19 24 40 26 24 22 22 24 49 35 37 29 40 58 51 61 60 57 51
    56 55 64 72 92 78 64 68 87 69 55 56 80 109 81 87 95 98 103 104 103 62 77 113 121 112 100 120 92 101 103 99
"""


@functools.cache
def _scaled_tables() -> npt.NDArray[np.int64]:
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    base = np.array([int(number) for number in _LUMINANCE.split()])
    tables: npt.NDArray[np.int64] = np.clip((base * scale + 50) // 100, 1, 255)
    return tables


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode an 8-bit gray or RGB array; ``style`` may hold quality, subsampling and progressive."""
    quality = style.get("quality", DEFAULT_QUALITY)
    subsampling = style.get("subsampling", "420")
    if style.get("progressive"):
        # Pillow knows three samplings; the rarer ones keep less colour than 4:2:2 and become 4:2:0.
        sampling = {"444": 0, "422": 1}.get(subsampling, 2)
        bare = _progressive(Image.fromarray(pixels), quality=quality, subsampling=sampling)
    elif pixels.ndim == 2:
        bare = simplejpeg.encode_jpeg(pixels[..., None], quality, "GRAY", "Gray")
    else:
        bare = simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)
    return _with_metadata(bare, metadata)


def _progressive(image: Image.Image, **options: Any) -> bytes:
    """Encode a progressive JPEG. Pillow's buffer must hold it all, and by itself is too small for noise."""
    out, block = io.BytesIO(), ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(block, 2 * len(image.getbands()) * image.width * image.height)
    try:
        image.save(out, "JPEG", progressive=True, **options)
    finally:
        ImageFile.MAXBLOCK = block
    return out.getvalue()


def _with_metadata(bare: bytes, metadata: Metadata) -> bytes:
    across, down = (min(65535, max(1, round(x))) for x in metadata.dpi or (1, 1))
    unit = 1 if metadata.dpi else 0
    head = [(_APP0, b"JFIF\x00\x01\x01" + struct.pack(">BHHBB", unit, across, down, 0, 0))]
    if metadata.exif:
        head.append((_APP1, _EXIF + metadata.exif))
    if metadata.xmp:
        head.append((_APP1, _XMP + metadata.xmp))
    head += _icc_segments(metadata.icc or b"")
    head += metadata.extra
    # A segment holds 64 KiB; longer metadata, which only another format can have, does not fit a JPEG.
    kept = [_segment(marker, payload) for marker, payload in head if len(payload) <= _LONGEST]
    start = 2
    if bare[2:4] == b"\xff\xe0":
        start = 4 + int.from_bytes(bare[4:6])
    return b"".join((b"\xff\xd8", *kept, bare[start:]))


def _icc_segments(profile: bytes) -> list[tuple[int, bytes]]:
    size = _LONGEST - 14
    pieces = [profile[at : at + size] for at in range(0, len(profile), size)]
    return [(_APP2, _ICC + bytes((n, len(pieces))) + piece) for n, piece in enumerate(pieces, 1)]


def _segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload

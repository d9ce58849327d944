"""JPEG 2000: Pillow reads 8 bits, imagecodecs' OpenJPEG more; this module has the boxes with metadata.

Sources: ITU-T T.800; the XMP specification, part 3.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

import attrs
import numpy as np

from dpip.filters.alpha import channel_count
from dpip.filters.codec import colours, pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.probes import boxes, jpeg2000
from dpip.filters.codec.upright import upright
from dpip.filters.metadata import exif

_EXIF, _XMP = b"JpgTiffExif->JP2", bytes.fromhex("BE7ACFCB97A942E89C71999491E3AFAC")
_RESTRICTED = b"\2\0\0"  # how a box of colours begins that holds a profile
_UNTOUCHED = 100  # quality


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode a picture, upright as its EXIF says."""
    metadata = _metadata(data)
    turn = exif.orientation(metadata.exif, metadata.xmp)
    if info.bits == 8:
        picture = pillow.decode(data, "JPEG2000", budget)
        frames: Iterator[Frame] = (
            attrs.evolve(frame, pixels=upright(frame.pixels, turn)) for frame in picture.frames
        )
    else:
        frames = _deep(data, budget, info, turn)
    return Picture("JPEG2000", frames, metadata=metadata)


def _deep(data: bytes, budget: DecodeBudget, info: PictureInfo, turn: int) -> Iterator[Frame]:
    import imagecodecs

    with pillow.damage_as_corrupt():
        budget.take_frame(info.width, info.height, info.pixel_bytes)
        shape = (info.height, info.width, info.channels)[: 2 if info.channels == 1 else 3]
        # The decoder compares this with what it has found, before it decodes.
        out: Pixels = np.empty(shape, np.uint16)
        pixels = imagecodecs.jpeg2k_decode(data, numthreads=1, out=out)
        yield Frame(upright(colours.widened(pixels, jpeg2000.depth(data)), turn))


def _metadata(data: bytes) -> Metadata:
    if data.startswith(jpeg2000.CODESTREAM):
        return Metadata()
    tags = xmp = icc = None
    for kind, body in boxes.within(data):
        if kind == b"uuid" and body[:16] == _XMP:
            xmp = body[16:]
        elif kind == b"uuid" and body[:16] == _EXIF:
            tags = exif.bare(body[16:])
        elif kind == b"jp2h":
            profiles = [
                part[3:] for name, part in boxes.within(body) if name == b"colr" and part[:1] in b"\2\3"
            ]
            icc = profiles[0] if profiles else None
    return Metadata(exif=tags, icc=icc, xmp=xmp)


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode one picture, without loss unless a quality below 100 is told."""
    import imagecodecs

    quality = style.get("quality", _UNTOUCHED)
    # OpenJPEG is told a ratio of signal to noise in decibels: 0 is without loss.
    level = 0 if quality >= _UNTOUCHED else 20 + quality * 0.3
    options: dict[str, Any] = {
        "level": level,
        "codecformat": "jp2",
        "reversible": level == 0,
        "numthreads": 1,
    }
    plain = bytes(imagecodecs.jpeg2k_encode(np.ascontiguousarray(pixels), **options))
    return b"".join(_with_metadata(plain, metadata, channel_count(pixels)))


def _with_metadata(plain: bytes, metadata: Metadata, channels: int) -> Iterator[bytes]:
    for kind, body in boxes.within(plain):
        yield _box(kind, _header(body, metadata.icc, channels) if kind == b"jp2h" else body)
    if metadata.exif:
        yield _box(b"uuid", _EXIF + metadata.exif)
    if metadata.xmp:
        yield _box(b"uuid", _XMP + metadata.xmp)


def _header(header: bytes, profile: bytes | None, channels: int) -> bytes:
    """Put the profile in place of the numbers for colours, and say which channel is alpha."""
    parts = []
    for kind, body in boxes.within(header):
        parts.append(_box(kind, _RESTRICTED + profile if kind == b"colr" and profile else body))
    if channels in (2, 4) and b"cdef" not in header:
        rows = [(number, 0, number + 1) for number in range(channels - 1)] + [(channels - 1, 1, 0)]
        table = b"".join(struct.pack(">HHH", *row) for row in rows)
        parts.append(_box(b"cdef", struct.pack(">H", channels) + table))
    return b"".join(parts)


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body

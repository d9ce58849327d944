"""JPEG XL: imagecodecs' libjxl codes the pixels; this module reads and writes the boxes with metadata.

Source: ISO/IEC 18181-2.
"""

from __future__ import annotations

import io
import struct
from typing import Any

import attrs
import imagecodecs
import numpy as np

from dpip.filters.codec import colours
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.probes import boxes, jpegxl
from dpip.filters.metadata import exif, spaces

_DISTANCE = 1.0  # libjxl's for pictures that look the same
_EFFORT = 4
_BRAND = b"jxl \0\0\0\0jxl "


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode a picture; libjxl turns it upright."""
    head = jpegxl.head(io.BytesIO(data), data[:16])
    budget.take_frame(head.width, head.height, head.channels * np.dtype(_dtype(head)).itemsize)
    shape = (head.height, head.width, head.channels)[: 2 if head.channels == 1 else 3]
    # The decoder compares this with what it has found, before it decodes.
    out: Pixels = np.empty(shape, _dtype(head))
    pixels = imagecodecs.jpegxl_decode(data, numthreads=1, out=out)
    if pixels.dtype == np.float16:
        pixels = pixels.astype(np.float32)
    elif pixels.dtype.kind == "u":
        pixels = colours.widened(pixels, head.bits)
    notices = []
    if head.others:
        notices.append(f"{head.others} further channels of the original were left out.")
        pixels = pixels[..., : head.channels - head.others]
    if head.linear:
        pixels = colours.with_srgb_curve(pixels, head.alpha)
    elif not head.plain_colours and head.code is None:
        notices.append("The original's colours are not sRGB, and were taken as that: they look different.")
    style = {"lossless": head.lossless}
    frame = Frame(np.ascontiguousarray(pixels))
    space = spaces.of_code(*head.code) if head.code is not None and not head.linear else None
    metadata = attrs.evolve(_metadata(data), space=space)
    return Picture("JXL", (frame,), metadata=metadata, style=style, notices=notices)


def _dtype(head: jpegxl.Head) -> Any:
    if head.floats:
        return np.float32 if head.bits > 16 else np.float16
    return np.uint8 if head.bits <= 8 else np.uint16


def _metadata(data: bytes) -> Metadata:
    if data.startswith(jpegxl.CODESTREAM):
        return Metadata()
    found = dict(boxes.within(data))
    box = found.get(b"Exif", b"")
    start = 4 + struct.unpack_from(">I", box)[0] if len(box) > 8 else 0
    return Metadata(exif=exif.bare(box[start:]), xmp=found.get(b"xml ") or None)


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode one picture: without loss if the original was, else as it looks the same, or as told.

    More than 8 bits are written without loss.
    """
    quality = style.get("quality")
    deep = pixels.dtype != np.uint8
    lossless = deep or quality == 100 or (quality is None and bool(style.get("lossless")))
    options: dict[str, Any] = {"lossless": True} if lossless else {"distance": _distance(quality)}
    stream = bytes(
        imagecodecs.jpegxl_encode(pixels, effort=_EFFORT, usecontainer=False, numthreads=1, **options)
    )
    parts = list(boxes.within(stream)) if stream.startswith(jpegxl.BOXES) else [(b"jxlc", stream)]
    if deep:  # imagecodecs says of these that they are in linear light
        parts = [(kind, jpegxl.with_srgb_curve(body) if kind == b"jxlc" else body) for kind, body in parts]
    if len(parts) == 1 and not metadata.exif and not metadata.xmp:
        return parts[0][1]
    if len(parts) == 1:
        parts = [(b"JXL ", jpegxl.BOXES[8:]), (b"ftyp", _BRAND), *parts]
    more = [(b"Exif", bytes(4) + metadata.exif)] if metadata.exif else []
    more += [(b"xml ", metadata.xmp)] if metadata.xmp else []
    return b"".join(_box(kind, body) for kind, body in (*parts, *more))


def _distance(quality: int | None) -> float:
    """Return libjxl's distance for a quality as cjxl does."""
    if quality is None:
        return _DISTANCE
    if quality >= 30:
        return 0.1 + (100 - quality) * 0.09
    return 53 / 3000 * quality**2 - 23 / 20 * quality + 25


def _box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body

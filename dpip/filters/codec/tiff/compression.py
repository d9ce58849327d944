"""Compressing the strips and tiles of a page, in the original's way where that can hold the result."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any, Literal

import imagecodecs
import numpy as np
import simplejpeg
from PIL import Image

from dpip.filters.codec import deflate
from dpip.filters.codec.picture import Pixels
from dpip.filters.codec.tiff import tags
from dpip.filters.metadata.directories import Directory, Layout

RAW, JPEG, DEFLATE, OLD_DEFLATE = 1, 7, 8, 32946
_FAX = {2: "tiff_ccitt", 3: "group3", 4: "group4"}
_STRIP = 1 << 18  # bytes before compression
NO_PREDICTOR, DIFFERENCES, FLOATING = 1, 2, 3

_METHODS: dict[int, Callable[[bytes], bytes | bytearray]] = {
    RAW: bytes,
    5: imagecodecs.lzw_encode,
    DEFLATE: deflate.compress,
    OLD_DEFLATE: deflate.compress,
    32773: imagecodecs.packbits_encode,
    34925: lambda data: imagecodecs.lzma_encode(data, level=6),
    50000: lambda data: imagecodecs.zstd_encode(data, level=9),
}
NAMES = {2: "CCITT", 3: "Group 3", 4: "Group 4", 6: "old JPEG", JPEG: "JPEG", 34887: "LERC"}
NAMES |= {32809: "ThunderScan", 32909: "Pixar Log", 34661: "JBIG", 34676: "SGI Log", 34677: "SGI Log"}
NAMES |= {34892: "lossy JPEG", 34933: "PNG", 34934: "JPEG XR", 50002: "JPEG XL", 52546: "JPEG XL"}
NAMES |= dict.fromkeys((33003, 33004, 33005, 34712), "JPEG 2000") | dict.fromkeys((50001, 34927), "WebP")
#: Other numbers for the same method.
_SAME = {34926: 50000, 32771: RAW}


def choose(wanted: int, samples: Pixels, bits: int) -> int:
    """Return the method: the original's, or Deflate where it cannot hold these samples, or is not written."""
    wanted = _SAME.get(wanted, wanted)
    if wanted in _METHODS or (wanted in _FAX and bits == 1):
        return wanted
    if (
        wanted == JPEG
        and samples.dtype == np.uint8
        and samples.shape[2] in (1, 3)
        and max(samples.shape) < 65500
    ):
        return JPEG
    return DEFLATE


def fax(black_white: Pixels, method: int) -> tuple[list[bytes], Directory]:
    """Compress H x W bool, true for white, by Pillow's libtiff; returns the strips and their tags."""
    out = io.BytesIO()
    Image.fromarray(black_white).save(out, "TIFF", compression=_FAX[method])
    data = out.getvalue()
    layout = Layout.of(data)
    found = tags.read(data, layout, int.from_bytes(data[4:8], "little"))
    places, sizes = (layout.parsed(found[tag]) for tag in (273, 279))
    strips = [data[int(place) : int(place + size)] for place, size in zip(places, sizes, strict=True)]
    return strips, tags.only(found, (262, 266, 278, 292, 293))


def jpeg(samples: Pixels, quality: int) -> bytes:
    """Compress one tile or a whole page."""
    colours = ("GRAY", "Gray") if samples.shape[2] == 1 else ("RGB", "420")
    packed: bytes = simplejpeg.encode_jpeg(samples, quality, *colours)
    return packed


def predictor(wanted: int, samples: Pixels, bits: int, *, palette: bool) -> int:
    """Return the predictor for these samples, if the original had one."""
    if wanted == NO_PREDICTOR or palette or bits < 8:
        return NO_PREDICTOR
    return FLOATING if samples.dtype.kind == "f" else DIFFERENCES


def pieces(samples: Pixels, tile: tuple[int, int] | None) -> tuple[list[Pixels], int]:
    """Cut H x W x C into tiles, whose edges are filled up, or into strips; returns also a strip's rows."""
    height, width = samples.shape[:2]
    if tile is None:
        rows = max(1, min(height, _STRIP // max(1, samples[0].nbytes)))
        return [samples[top : top + rows] for top in range(0, height, rows)], rows
    across, down = tile
    right, below = -width % across, -height % down
    if right or below:
        samples = np.pad(samples, ((0, below), (0, right), (0, 0)), mode="edge")
    return [
        samples[top : top + down, left : left + across]
        for top in range(0, height, down)
        for left in range(0, width, across)
    ], 0


def packed(piece: Pixels, method: int, order: Literal["<", ">"], predicted: int) -> bytes | bytearray:
    """Compress one strip or tile; bool becomes one bit per pixel."""
    if piece.dtype == np.bool_:
        return _METHODS[method](np.packbits(piece[..., 0], axis=1).tobytes())
    if predicted == DIFFERENCES:
        piece = imagecodecs.delta_encode(np.ascontiguousarray(piece), axis=-2)
    stored: Any = piece.astype(piece.dtype.newbyteorder(order), copy=False)
    if predicted == FLOATING:
        stored = imagecodecs.floatpred_encode(np.ascontiguousarray(stored), axis=-2)
    return _METHODS[method](stored.tobytes())

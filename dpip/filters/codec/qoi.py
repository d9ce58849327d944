"""QOI, by imagecodecs."""

from __future__ import annotations

import imagecodecs
import numpy as np

from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Picture, Pixels


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode a picture, RGB or RGBA."""
    budget.take_frame(info.width, info.height, info.pixel_bytes)
    out: Pixels = np.empty((info.height, info.width, info.channels), np.uint8)
    return Picture("QOI", (Frame(imagecodecs.qoi_decode(data, out=out)),))


def encode(pixels: Pixels) -> bytes:
    """Encode 8-bit gray, RGB or RGBA."""
    if pixels.ndim == 2:
        pixels = np.repeat(pixels[..., None], 3, axis=2)
    return bytes(imagecodecs.qoi_encode(np.ascontiguousarray(pixels)))

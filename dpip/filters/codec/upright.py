"""Turning the pixels upright, as EXIF says."""

from __future__ import annotations

import numpy as np

from dpip.filters.codec.picture import Pixels


def upright(pixels: Pixels, turn: int) -> Pixels:
    """Turn the picture as the EXIF orientation ``turn`` tells; H and W are swapped for 5 to 8."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)

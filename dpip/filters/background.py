"""The colour around a picture, in the picture's own channels."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import channel_count, has_alpha
from dpip.filters.colours import components
from dpip.filters.schema import Pixels


def prepared(array: Pixels, background: str) -> tuple[Pixels, npt.NDArray[Any]]:
    """Return the picture as H x W x C, with alpha if the background needs it, and the colour of C samples."""
    planes = array if array.ndim == 3 else array[..., None]
    if background == "auto":
        background = "transparent" if has_alpha(array) else "white"
    floating = array.dtype.kind == "f"
    top = 1.0 if floating else float(np.iinfo(array.dtype).max)
    if background == "transparent" and not has_alpha(planes):
        opaque = np.full((*planes.shape[:2], 1), top, array.dtype)
        planes = np.concatenate((planes, opaque), axis=2)
    count = channel_count(planes)
    colour = components(background)
    if count < 3:
        red, green, blue = colour
        colour = ((19595 * red + 38470 * green + 7471 * blue + 32768) >> 16,) * 3
    samples = [value * top / 255 for value in colour[: count if count in (1, 3) else count - 1]]
    samples += [0 if background == "transparent" else top] * has_alpha(planes)
    return planes, np.array(samples, array.dtype)

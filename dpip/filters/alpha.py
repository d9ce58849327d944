"""Which pictures have alpha, and colours weighted by it: hidden colours must have no part in a mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.schema import Pixels


def channel_count(array: Pixels) -> int:
    """Return 1 for H x W, else C of H x W x C."""
    return array.shape[2] if array.ndim == 3 else 1


def has_alpha(array: Pixels) -> bool:
    """Tell whether the last channel is alpha, as it is of 2 channels and of 4."""
    return channel_count(array) in (2, 4)


def is_opaque(array: Pixels) -> bool:
    """Tell whether no pixel is transparent, be it because there is no alpha."""
    return not has_alpha(array) or bool((array[..., -1] == np.iinfo(array.dtype).max).all())


def weighted(array: Pixels, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Return colour times alpha, and alpha as it is, in the floating-point ``dtype``."""
    result = array.astype(dtype)
    result[..., :-1] *= result[..., -1:]
    return result


def divided(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> Pixels:
    """Undo :func:`weighted` and round to ``dtype``; overwrites ``array``.

    Fully transparent pixels get the colour 0.
    """
    alpha = array[..., -1:]
    visible = alpha >= 0.5  # below half a level, alpha rounds to 0
    np.divide(array[..., :-1], alpha, out=array[..., :-1], where=visible)
    array[..., :-1] *= visible
    return rounded(array, dtype)


def rounded(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> Pixels:
    """Round to whole numbers within the range of ``dtype``; overwrites ``array``."""
    array += 0.5
    np.clip(array, 0, np.iinfo(dtype).max, out=array)
    return array.astype(dtype)

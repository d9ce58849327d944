"""Colours weighted by their alpha, so that what hides under transparent pixels has no part in a mean."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.schema import Pixels


def is_opaque(array: Pixels) -> bool:
    """Whether an alpha channel, the last, does nothing."""
    return bool((array[..., -1] == np.iinfo(array.dtype).max).all())


def weighted(array: Pixels, dtype: npt.DTypeLike) -> npt.NDArray[Any]:
    """Colour times alpha, and alpha, as floating point."""
    result = array.astype(dtype)
    result[..., :-1] *= result[..., -1:]
    return result


def divided(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> Pixels:
    """Back to colours of that dtype, rounded; overwrites ``array``. Where nothing shows the colour is 0."""
    alpha = array[..., -1:]
    visible = alpha >= 0.5  # below half a level, alpha rounds to 0
    np.divide(array[..., :-1], alpha, out=array[..., :-1], where=visible)
    array[..., :-1] *= visible
    return rounded(array, dtype)


def rounded(array: npt.NDArray[Any], dtype: npt.DTypeLike) -> Pixels:
    """To whole numbers of that dtype; overwrites ``array``."""
    array += 0.5
    np.clip(array, 0, np.iinfo(dtype).max, out=array)
    return array.astype(dtype)

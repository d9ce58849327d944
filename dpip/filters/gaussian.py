"""The Gaussian on any array that a filter may meet: which kernel does it, and what alpha means."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpip.filters import octaves
from dpip.filters.kernels import float_gaussian
from dpip.filters.schema import Pixels


def gaussian(array: Pixels, sigma: float, threads: int = 1) -> Pixels:
    """Blur uint8 or uint16, H x W or H x W x C, alpha last where C is even."""
    planes = array if array.ndim == 3 else array[..., None]
    if planes.shape[2] in (2, 4):
        return _with_alpha(planes, sigma, threads)
    if array.dtype == np.uint8:
        return octaves.gaussian(planes, sigma, threads).reshape(array.shape)
    blurred = float_gaussian.gaussian(planes.astype(np.float32), sigma, threads)
    return _rounded(blurred, array.dtype).reshape(array.shape)


def _with_alpha(array: Pixels, sigma: float, threads: int) -> Pixels:
    """Blur colour times alpha, and alpha; then divide. Opaque pictures, the common case, need neither."""
    if bool((array[..., -1] == np.iinfo(array.dtype).max).all()):
        opaque = array.copy()
        opaque[..., :-1] = gaussian(np.ascontiguousarray(array[..., :-1]), sigma, threads)
        return opaque
    weighted = array.astype(np.float32)
    weighted[..., :-1] *= weighted[..., -1:]
    blurred = float_gaussian.gaussian(weighted, sigma, threads)
    alpha = blurred[..., -1:]
    # Below half a level the alpha rounds to 0 and nothing shows.
    visible = alpha >= 0.5
    np.divide(blurred[..., :-1], alpha, out=blurred[..., :-1], where=visible)
    blurred[..., :-1] *= visible
    return _rounded(blurred, array.dtype)


def _rounded(array: npt.NDArray[np.float32], dtype: npt.DTypeLike) -> Pixels:
    array += np.float32(0.5)
    np.clip(array, 0, np.iinfo(dtype).max, out=array)
    rounded: Pixels = array.astype(dtype)
    return rounded

"""The Gaussian on any array that a filter may meet: which kernel does it, and what alpha means."""

from __future__ import annotations

import numpy as np

from dpip.filters import octaves
from dpip.filters.alpha import divided, is_opaque, rounded, weighted
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
    return rounded(blurred, array.dtype).reshape(array.shape)


def _with_alpha(array: Pixels, sigma: float, threads: int) -> Pixels:
    """Opaque pictures, the common case, need no weights."""
    if not is_opaque(array):
        return divided(float_gaussian.gaussian(weighted(array, np.float32), sigma, threads), array.dtype)
    opaque = array.copy()
    opaque[..., :-1] = gaussian(np.ascontiguousarray(array[..., :-1]), sigma, threads)
    return opaque

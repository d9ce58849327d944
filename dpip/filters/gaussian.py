"""The Gaussian on any array that a filter may meet: it chooses the kernel and handles alpha."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from dpip.filters import octaves
from dpip.filters.alpha import divided, has_alpha, is_opaque, rounded, weighted
from dpip.filters.kernels import float_gaussian
from dpip.filters.schema import Pixels

#: Blurs H x W x C: takes the array, sigma and threads, returns a new array.
Planes = Callable[[Any, float, int], Any]


def gaussian(
    array: Pixels,
    sigma: float,
    threads: int = 1,
    *,
    fixed: Planes = octaves.gaussian,
    floating: Planes = float_gaussian.gaussian,
) -> Pixels:
    """Blur uint8 or uint16, H x W or H x W x C, alpha last where C is even.

    ``fixed`` blurs bytes with C = 1 or 3, ``floating`` blurs float32; both run here or on a GPU.
    """
    planes = array if array.ndim == 3 else array[..., None]
    if has_alpha(planes):
        if not is_opaque(planes):
            return divided(floating(weighted(planes, np.float32), sigma, threads), array.dtype)
        opaque = planes.copy()  # the common case needs no weights
        colours = np.ascontiguousarray(planes[..., :-1])
        opaque[..., :-1] = gaussian(colours, sigma, threads, fixed=fixed, floating=floating)
        return opaque
    if array.dtype == np.uint8:
        result: Pixels = fixed(planes, sigma, threads).reshape(array.shape)
        return result
    blurred = floating(planes.astype(np.float32), sigma, threads)
    return rounded(blurred, array.dtype).reshape(array.shape)

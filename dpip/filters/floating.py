"""Filters of floating-point pictures: 0 is black and 1 white, and measurements may be anything else.

Nothing is clipped. A pixel that is not a finite number is not known: it has no part in its neighbours'
results, and stays as it was. Means are computed with the 24 bits of float32, over the picture's own range.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import has_alpha
from dpip.filters.schema import Pixels

#: What a mean of planes is: H x W x C float32 to another height and width, or the same.
Mean = Callable[[npt.NDArray[np.float32]], npt.NDArray[Any]]
_BLOCK = 1 << 20  # samples that are computed at once


def smoothed(array: Pixels, mean: Mean) -> Pixels:
    """Apply a linear mean to float32 or float64; colours are weighted by alpha, where there is one."""
    planes = array if array.ndim == 3 else array[..., None]
    known = np.isfinite(planes)
    middle, scale = _range(planes, known)
    values = np.where(known, (planes - middle) / scale, 0).astype(np.float32)
    weights = known.astype(np.float32)
    if has_alpha(planes):
        weights[..., :-1] *= np.clip(np.nan_to_num(planes[..., -1:]), 0, 1)
    if bool((weights == 1).all()):
        return _shaped(mean(values).astype(array.dtype) * scale + middle, array)
    total = mean(weights)
    result = np.divide(
        mean(values * weights), total, out=np.zeros(total.shape, np.float32), where=total > 1e-6
    )
    finished = result.astype(array.dtype) * scale + middle
    gaps = ~known if finished.shape == planes.shape else mean(known.astype(np.float32)) < 0.5
    finished[gaps] = planes[gaps] if finished.shape == planes.shape else np.nan
    return _shaped(finished, array)


def _range(planes: Pixels, known: npt.NDArray[np.bool_]) -> tuple[Any, Any]:
    """Return the middle and half the extent of each channel, as numbers of the array's own type."""
    low = np.where(known, planes, np.inf).min(axis=(0, 1))
    high = np.where(known, planes, -np.inf).max(axis=(0, 1))
    some = np.isfinite(low)
    low, high = np.where(some, low, 0), np.where(some, high, 0)
    half = high / 2 - low / 2
    kind = planes.dtype.type
    return (low / 2 + high / 2).astype(kind), np.where(half > 0, half, 1).astype(kind)


def _shaped(planes: Pixels, like: Pixels) -> Pixels:
    return planes if like.ndim == 3 else planes[..., 0]


def median(array: Pixels, radius: int) -> Pixels:
    """Take the median of (2 radius + 1)² known samples of each channel, edges clamped."""
    planes = array if array.ndim == 3 else array[..., None]
    height, width, channels = planes.shape
    side = 2 * radius + 1
    padded = np.pad(planes, ((radius, radius), (radius, radius), (0, 0)), mode="edge")
    padded[~np.isfinite(padded)] = np.nan
    result = planes.copy()
    rows = max(1, _BLOCK // (width * channels * side * side))
    for top in range(0, height, rows):
        block = padded[top : top + rows + 2 * radius]
        windows = np.lib.stride_tricks.sliding_window_view(block, (side, side), axis=(0, 1))
        ordered = np.sort(windows.reshape(*windows.shape[:3], side * side), axis=3)  # NaN comes last
        count = side * side - np.isnan(ordered).sum(axis=3, keepdims=True)
        middle = np.take_along_axis(ordered, np.maximum(count - 1, 0) // 2, axis=3)[..., 0]
        part = result[top : top + rows]
        np.copyto(part, middle, where=np.isfinite(part))
    return _shaped(result, array)


def luma(array: Pixels) -> Pixels:
    """Return H x W, or H x W x 2 with alpha as it was: the luma of ITU-R BT.601."""
    if array.ndim == 2 or array.shape[2] == 2:
        return array.copy()
    gray = array[..., 0] * (19595 / 65536) + array[..., 1] * (38470 / 65536) + array[..., 2] * (7471 / 65536)
    gray = gray.astype(array.dtype)
    return gray if array.shape[2] == 3 else np.stack((gray, array[..., 3]), axis=2)


def gradient(gray: Pixels) -> Pixels:
    """Return the length of the gradient of H x W by Sobel's masks, edges clamped."""
    padded = np.pad(gray, 1, mode="edge")
    result = np.empty_like(gray)
    rows = max(1, _BLOCK // gray.shape[1])
    for top in range(0, len(gray), rows):
        result[top : top + rows] = _gradient(padded[top : top + rows + 2])
    return result


def _gradient(padded: Pixels) -> Any:
    across = padded[:, 2:] - padded[:, :-2]
    down = padded[2:] - padded[:-2]
    across = across[:-2] + 2 * across[1:-1] + across[2:]
    down = down[:, :-2] + 2 * down[:, 1:-1] + down[:, 2:]
    return np.sqrt(across * across + down * down)


def with_alpha_of(result: Pixels, array: Pixels) -> Pixels:
    """Put the alpha of ``array``, if it has one, into ``result``, which is overwritten."""
    if has_alpha(array):
        result[..., -1] = array[..., -1]
    return result

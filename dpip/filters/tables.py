"""Filters that are a curve: every sample is replaced from a table, alpha stays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import channel_count
from dpip.filters.bands import over_rows
from dpip.filters.floating import with_alpha_of
from dpip.filters.kernels import points
from dpip.filters.schema import Pixels

Curve = Callable[[npt.NDArray[Any]], npt.NDArray[Any]]


def apply_curve(array: Pixels, curve: Curve, threads: int = 1) -> Pixels:
    """Replace every sample ``x`` by ``curve(x)``, on a scale from 0.0 to 1.0.

    ``curve`` is called once: for uint8 and uint16 with all values that a sample may have, its results are
    clipped and rounded; for floating point with the array, which may have other values, too.
    """
    if array.dtype.kind == "f":
        return with_alpha_of(curve(array).astype(array.dtype), array)
    return _looked_up(array, points.look_up, _table(curve, array.dtype), threads)


def apply_curves(array: Pixels, curves: Sequence[Curve], threads: int = 1) -> Pixels:
    """Do what :func:`apply_curve` does, with a curve each for red, green and blue; H x W x 3 or 4."""
    tables = np.concatenate([_table(curve, array.dtype) for curve in curves])
    return _looked_up(array, points.look_up_each, tables, threads)


def _table(curve: Curve, dtype: npt.DTypeLike) -> Pixels:
    top = np.iinfo(dtype).max
    values = curve(np.arange(top + 1) / top)
    table: Pixels = np.floor(np.clip(values, 0, 1) * top + 0.5).astype(dtype)
    return table


def _looked_up(array: Pixels, kernel: Callable[..., None], table: Pixels, threads: int) -> Pixels:
    channels = channel_count(array)
    result = np.empty_like(array)

    def rows(first: int, last: int) -> None:
        kernel(array[first:last].reshape(-1), result[first:last].reshape(-1), table, channels)

    over_rows(array.shape[0], threads, rows)
    return result

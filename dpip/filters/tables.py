"""Filters that are a curve: every sample goes through a table, alpha stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.bands import over_rows
from dpip.filters.kernels import points
from dpip.filters.schema import Pixels

Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[Any]]


def apply_curve(array: Pixels, curve: Curve, threads: int = 1) -> Pixels:
    """``curve`` takes all sample values as 0.0 to 1.0 and gives the same scale back; it is cut and rounded
    here."""
    top = np.iinfo(array.dtype).max
    values = curve(np.arange(top + 1) / top)
    table = np.floor(np.clip(values, 0, 1) * top + 0.5).astype(array.dtype)
    channels = array.shape[2] if array.ndim == 3 else 1
    result = np.empty_like(array)

    def rows(first: int, last: int) -> None:
        points.look_up(array[first:last].reshape(-1), result[first:last].reshape(-1), table, channels)

    over_rows(array.shape[0], threads, rows)
    return result

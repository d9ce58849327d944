"""Filters that are a curve: every sample is replaced from a table, alpha stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import channel_count
from dpip.filters.bands import over_rows
from dpip.filters.kernels import points
from dpip.filters.schema import Pixels

Curve = Callable[[npt.NDArray[np.float64]], npt.NDArray[Any]]


def apply_curve(array: Pixels, curve: Curve, threads: int = 1) -> Pixels:
    """Replace every sample ``x`` of uint8 or uint16 by ``curve(x)``, on a scale from 0.0 to 1.0.

    ``curve`` is called once, with all values that a sample may have; its results are clipped and rounded.
    """
    top = np.iinfo(array.dtype).max
    values = curve(np.arange(top + 1) / top)
    table = np.floor(np.clip(values, 0, 1) * top + 0.5).astype(array.dtype)
    channels = channel_count(array)
    result = np.empty_like(array)

    def rows(first: int, last: int) -> None:
        points.look_up(array[first:last].reshape(-1), result[first:last].reshape(-1), table, channels)

    over_rows(array.shape[0], threads, rows)
    return result

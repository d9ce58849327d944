"""Counting the values of a picture; pixels that are wholly transparent do not count."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.alpha import channel_count
from dpip.filters.kernels import histograms
from dpip.filters.schema import Pixels

Counts = npt.NDArray[np.int64]


def counts(array: Pixels, channel: int = 0, rows: Any = None, columns: Any = None) -> Counts:
    """Return how often one channel has each value that its type may hold, in all rows and columns, or these.

    ``rows`` and ``columns`` are pairs: the first, and the one after the last.
    """
    height, width = array.shape[:2]
    lanes = np.zeros((histograms.LANES, np.iinfo(array.dtype).max + 1), np.int32)
    first, last = rows or (0, height)
    left, right = columns or (0, width)
    histograms.count(
        array.reshape(-1), lanes.reshape(-1), width, channel_count(array), channel, left, right, first, last
    )
    counted: Counts = lanes.sum(axis=0, dtype=np.int64)
    return counted


def span(counted: Counts, cutoff: float) -> tuple[int, int]:
    """Return the lowest and the highest value, without ``cutoff`` percent of the pixels at each end."""
    passed = counted.cumsum()
    aside = passed[-1] * cutoff / 100
    low = int(np.searchsorted(passed, aside, side="right"))
    high = int(np.searchsorted(passed, passed[-1] - aside, side="left"))
    return min(low, counted.size - 1), min(high, counted.size - 1)

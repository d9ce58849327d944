"""Invert: the negative."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def invert(array: Pixels) -> Pixels:
    """Every sample subtracted from the largest value; alpha as it was."""
    negative = ~array
    if array.ndim == 3 and array.shape[2] in (2, 4):
        negative[..., -1] = array[..., -1]
    return negative


FILTER = Filter(name="invert", summary="The negative.", function=invert, memory_factor=4.5)

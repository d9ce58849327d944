"""The filter ``invert``: the negative."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def invert(array: Pixels) -> Pixels:
    """Subtract every sample from the largest value; alpha stays as it was."""
    from dpip.filters.alpha import has_alpha

    negative = ~array
    if has_alpha(array):
        negative[..., -1] = array[..., -1]
    return negative


FILTER = Filter(name="invert", summary="The negative.", function=invert, memory_factor=4.5)

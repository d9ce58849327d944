"""The filter ``invert``: the negative."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def invert(array: Pixels) -> Pixels:
    """Subtract every sample from the largest value, which is 1 for floating point; alpha stays as it was."""
    from dpip.filters.alpha import has_alpha

    negative = 1 - array if array.dtype.kind == "f" else ~array
    if has_alpha(array):
        negative[..., -1] = array[..., -1]
    return negative


FILTER = Filter(
    name="invert",
    summary="The negative.",
    function=invert,
    working_bytes=lambda shape, params: 0,
    takes_floats=True,
    area="same",
)

"""The filter ``thumbnail``: it makes a picture small enough to fit a square, and never enlarges."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def thumbnail(array: Pixels, *, size: int) -> Pixels:
    """Reduce the longer side to ``size`` pixels, in proportion; return a copy where it is not longer."""
    from dpip.filters.builtin.resize import resize

    height, width = array.shape[:2]
    if max(height, width) <= size:
        return array.copy()
    return resize(array, width=size, height=size, fit="contain", linear=False)


FILTER = Filter(
    name="thumbnail",
    summary="Small enough to fit a square.",
    function=thumbnail,
    parameters=(Parameter("size", "integer", 256, "Pixels of the longer side.", 1, 4096),),
    takes_floats=True,
    area="scaled",
    memory_factor=11.0,  # with alpha, as floating point
    whole_picture=True,
)

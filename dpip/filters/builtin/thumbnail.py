"""Thumbnail: small enough to fit a square, never enlarged."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def thumbnail(array: Pixels, *, size: int) -> Pixels:
    """In proportion, so that the longer side has ``size`` pixels; a picture that is smaller stays as it
    is."""
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
    memory_factor=11.0,  # with alpha, as floating point
)

"""The filter ``thumbnail``: it makes a picture small enough to fit a square, and never enlarges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def thumbnail(array: Pixels, *, size: int) -> Pixels:
    """Reduce the longer side to ``size`` pixels, in proportion; return a copy where it is not longer."""
    from dpip.filters.builtin.resize import resize

    height, width = array.shape[:2]
    if max(height, width) <= size:
        return array.copy()
    return resize(array, **_resize(size))


def _resize(size: int) -> Mapping[str, Any]:
    return {"width": size, "height": size, "fit": "contain", "linear": False}


def _is_small(shape: Shape, size: int) -> bool:
    return max(shape.width, shape.height) <= size


def _result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    from dpip.filters.builtin.resize import result_shape

    size = params["size"]
    return shape if _is_small(shape, size) else result_shape(shape, _resize(size))


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    from dpip.filters.builtin.resize import working_bytes

    size = params["size"]
    return 0 if _is_small(shape, size) else working_bytes(shape, _resize(size))


FILTER = Filter(
    name="thumbnail",
    summary="Small enough to fit a square.",
    function=thumbnail,
    parameters=(Parameter("size", "integer", 256, "Pixels of the longer side.", 1, 4096),),
    takes_floats=True,
    area="scaled",
    maps="same",
    result_shape=_result_shape,
    working_bytes=_working_bytes,
    whole_picture=True,
)

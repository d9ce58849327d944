"""The filter ``pad``: a border, or a larger canvas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.errors import BadParameter
from dpip.filters.colours import BACKGROUND, with_background
from dpip.filters.placing import offset, place_parameter, ratio
from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def pad(
    array: Pixels,
    *,
    border: int,
    width: int | None,
    height: int | None,
    aspect: str | None,
    place: str,
    background: str,
) -> Pixels:
    """Put a border of that many pixels around the picture, then enlarge the canvas.

    It becomes at least ``width`` x ``height``, and as much larger as ``aspect`` (width to height) needs; the
    picture is never cut. ``place`` says where in the canvas it lies.
    """
    import numpy as np

    from dpip.filters.background import prepared

    inner_height, inner_width = array.shape[0] + 2 * border, array.shape[1] + 2 * border
    new_width, new_height = _size(inner_width, inner_height, width, height, aspect)
    planes, colour = prepared(array, background)
    left, top = offset(place, new_width - inner_width, new_height - inner_height)
    rows = slice(top + border, top + border + array.shape[0])
    columns = slice(left + border, left + border + array.shape[1])
    result = np.empty((new_height, new_width, planes.shape[2]), array.dtype)
    line = np.broadcast_to(colour, (new_width, planes.shape[2])).copy()
    result[: rows.start] = result[rows.stop :] = line
    result[rows, : columns.start] = line[: columns.start]
    result[rows, columns.stop :] = line[columns.stop :]
    result[rows, columns] = planes
    return result if result.shape[2] > 1 else result[..., 0]


def _size(
    inner_width: int, inner_height: int, width: int | None, height: int | None, aspect: str | None
) -> tuple[int, int]:
    new_width, new_height = max(width or 1, inner_width), max(height or 1, inner_height)
    if aspect is None:
        return new_width, new_height
    shape = ratio(aspect)
    return max(new_width, round(new_height * shape)), max(new_height, round(new_width / shape))


def _changes_something(params: Mapping[str, Any]) -> None:
    if params["aspect"] is not None:
        ratio(params["aspect"])
    elif not params["border"] and params["width"] is None and params["height"] is None:
        raise BadParameter("pad needs a border, a width, a height or an aspect.", parameter="border")


def _result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    border, wanted = 2 * params["border"], (params["width"], params["height"], params["aspect"])
    width, height = _size(shape.width + border, shape.height + border, *wanted)
    return attrs.evolve(with_background(shape, params), width=width, height=height)


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon a copy with alpha, where the background needs it."""
    filled = with_background(shape, params)
    return filled.bytes + 2 * shape.pixels * shape.sample_bytes if filled != shape else 0


FILTER = Filter(
    name="pad",
    summary="A border, or a larger canvas of a given size or aspect.",
    function=pad,
    parameters=(
        Parameter("border", "integer", 0, "Pixels on each side.", 0, 10_000),
        Parameter("width", "integer", None, "At least that many pixels.", 1, 65535),
        Parameter("height", "integer", None, "At least that many pixels.", 1, 65535),
        Parameter("aspect", "text", None, "Width to height, such as 16:9 or 1.5.", maximum=20),
        place_parameter("center", "Where in the canvas the picture lies."),
        BACKGROUND,
    ),
    result_shape=_result_shape,
    working_bytes=_working_bytes,
    check=_changes_something,
    whole_picture=True,
    takes_floats=True,
    area="cut",
    example={"border": 2},
)

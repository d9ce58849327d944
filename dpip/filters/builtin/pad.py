"""The filter ``pad``: a border, or a larger canvas."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.errors import BadParameter
from dpip.filters.colours import BACKGROUND
from dpip.filters.placing import check_size, offset, place_parameter, ratio
from dpip.filters.schema import Filter, Parameter, Pixels


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
    new_width, new_height = max(width or 1, inner_width), max(height or 1, inner_height)
    if aspect is not None:
        shape = ratio(aspect)
        new_width, new_height = (
            max(new_width, round(new_height * shape)),
            max(new_height, round(new_width / shape)),
        )
    check_size(new_width, new_height)
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


def _changes_something(params: Mapping[str, Any]) -> None:
    if params["aspect"] is not None:
        ratio(params["aspect"])
    elif not params["border"] and params["width"] is None and params["height"] is None:
        raise BadParameter("pad needs a border, a width, a height or an aspect.", parameter="border")


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
    memory_factor=11.0,
    check=_changes_something,
    whole_picture=True,
    takes_floats=True,
    area="cut",
    example={"border": 2},
)

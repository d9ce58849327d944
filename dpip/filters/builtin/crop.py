"""The filter ``crop``: a part of the picture, given by numbers, a place, or by what is most worth seeing."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.errors import BadParameter, UnsupportedPicture
from dpip.filters.placing import offset, place_parameter, ratio
from dpip.filters.schema import Along, Filter, Parameter, Pixels
from dpip.filters.shape import Shape

_SMART = ("saliency", "entropy")


def crop(
    array: Pixels,
    *,
    left: int | None,
    top: int | None,
    width: int | None,
    height: int | None,
    aspect: str | None,
    place: str,
) -> Pixels:
    """Return the rectangle of ``width`` x ``height`` pixels, cut at the picture's edges.

    With ``aspect`` it is the largest of that shape, within those numbers where they are given. It begins at
    ``left`` and ``top``; what is not given follows from ``place``. Raises UnsupportedPicture if it lies
    outside the picture.
    """
    old_height, old_width = array.shape[:2]
    across, down = left or 0, top or 0
    if across >= old_width or down >= old_height:
        raise UnsupportedPicture(
            f"crop begins at {across}, {down}, outside the picture of {old_width} x {old_height} pixels."
        )
    new_width, new_height = _size(old_width - across, old_height - down, width, height, aspect)
    if place in _SMART and (left is None or top is None):
        from dpip.filters.interest import best_place

        found = best_place(array, place, new_width, new_height)
    else:
        found = offset(place, old_width - new_width, old_height - new_height)
    x, y = (found[0] if left is None else left), (found[1] if top is None else top)
    return array[y : y + new_height, x : x + new_width].copy()


def _size(
    most_width: int, most_height: int, width: int | None, height: int | None, aspect: str | None
) -> tuple[int, int]:
    new_width, new_height = min(width or most_width, most_width), min(height or most_height, most_height)
    if aspect is not None:
        shape = ratio(aspect)
        new_width, new_height = (
            max(1, min(new_width, round(new_height * shape))),
            max(1, min(new_height, round(new_width / shape))),
        )
    return new_width, new_height


def _cuts_something(params: Mapping[str, Any]) -> None:
    if params["aspect"] is not None:
        ratio(params["aspect"])
    elif all(params[name] is None for name in ("left", "top", "width", "height")):
        raise BadParameter(
            "crop needs a width, a height or an aspect, or where it begins: left and top.", parameter="width"
        )


def _result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    most = max(1, shape.width - (params["left"] or 0)), max(1, shape.height - (params["top"] or 0))
    width, height = _size(*most, params["width"], params["height"], params["aspect"])
    return attrs.evolve(shape, width=width, height=height)


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon the maps in which the best place is looked for."""
    smart = params["place"] in _SMART and (params["left"] is None or params["top"] is None)
    of_pixel = (4 if shape.is_float else 3.4) * shape.sample_bytes + 10 * shape.has_alpha
    return of_pixel * shape.pixels if smart else 0


def _maps(params: Mapping[str, Any]) -> Along:
    """Tell that the same part of a map can be found, unless that is chosen by what is seen."""
    placed = params["left"] is None or params["top"] is None
    return "lost" if placed and params["place"] in _SMART else "sized"


FILTER = Filter(
    name="crop",
    summary="A part of the picture.",
    function=crop,
    parameters=(
        Parameter("left", "integer", None, "Pixels that are cut off at the left; else see place.", 0, 65535),
        Parameter("top", "integer", None, "Pixels that are cut off at the top; else see place.", 0, 65535),
        Parameter("width", "integer", None, "In pixels, at most the picture's.", 1, 65535),
        Parameter("height", "integer", None, "In pixels, at most the picture's.", 1, 65535),
        Parameter("aspect", "text", None, "Width to height, such as 16:9 or 1.5.", maximum=20),
        place_parameter(
            "center", "Which part; saliency and entropy find the one most worth seeing.", *_SMART
        ),
    ),
    result_shape=_result_shape,
    working_bytes=_working_bytes,
    check=_cuts_something,
    whole_picture=True,
    takes_floats=True,
    area="cut",
    maps=_maps,
    example={"width": 8},
)

"""The filter ``rotate``: by quarters exactly, by any other angle with bicubic interpolation."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import attrs

from dpip.filters.colours import BACKGROUND, with_background
from dpip.filters.schema import Along, Area, Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def rotate(array: Pixels, *, angle: float, expand: bool, background: str, threads: int = 1) -> Pixels:
    """Turn clockwise by ``angle`` degrees.

    Quarters move whole pixels and always keep all of them. Otherwise the result holds the whole picture if
    ``expand``, and else has the original's size; what is new gets the colour of the background.
    """
    from dpip.filters import turning

    quarters, rest = divmod(angle % 360, 90)
    if rest == 0:
        return turning.quarter(array, int(quarters), threads)
    return turning.rotated(array, angle, expand, background, threads)


def _result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    quarters, rest = divmod(params["angle"] % 360, 90)
    if rest == 0:
        return shape.turned if quarters % 2 else shape
    shape = with_background(shape, params)
    if not params["expand"]:
        return shape
    turn = math.radians(params["angle"])
    cosine, sine = abs(math.cos(turn)), abs(math.sin(turn))
    width = math.ceil(shape.width * cosine + shape.height * sine - 1e-6)
    height = math.ceil(shape.width * sine + shape.height * cosine - 1e-6)
    return attrs.evolve(shape, width=width, height=height)


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon floating point where there is alpha or 16 bits, and a copy with alpha where it is new."""
    filled = with_background(shape, params)
    if params["angle"] % 90 == 0:
        return 0
    copy = filled.bytes + shape.pixels * shape.sample_bytes if filled != shape else 0
    if shape.sample_bytes == 1 and not filled.has_alpha:
        return copy
    return copy + 4.4 * filled.samples + 5.5 * _result_shape(shape, params).samples


def _area(params: Mapping[str, Any]) -> Area:
    return "turned" if params["angle"] % 180 == 90 else "cut"


def _maps(params: Mapping[str, Any]) -> Along:
    """Tell that nothing is added in the corners, if it is a quarter."""
    return "along" if params["angle"] % 90 == 0 else "lost"


FILTER = Filter(
    name="rotate",
    summary="Turn clockwise, by quarters or by any angle.",
    function=rotate,
    parameters=(
        Parameter("angle", "float", 90.0, "Degrees clockwise; quarters lose nothing.", -360, 360),
        Parameter("expand", "boolean", True, "Make the picture large enough for all of its corners."),
        BACKGROUND,
    ),
    result_shape=_result_shape,
    working_bytes=_working_bytes,
    takes_threads=True,
    whole_picture=True,
    takes_floats=True,
    area=_area,
    maps=_maps,
)

"""The filter ``resize``: Lanczos, to a width, a height or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.errors import BadParameter
from dpip.filters.schema import Along, Area, Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def resize(array: Pixels, *, width: int | None, height: int | None, fit: str, linear: bool) -> Pixels:
    """Resample to ``width`` and ``height`` in pixels; where one is None, the proportions give it.

    With both, ``fit`` decides: "contain" makes the picture as large as fits into them, "cover" fills them and
    crops evenly what is left over, "stretch" distorts. ``linear`` averages light instead of sRGB values,
    which keeps fine bright details as bright as they were.
    """
    from dpip.filters.resampling import resample

    old_height, old_width = array.shape[:2]
    if width is None or height is None or fit != "cover":
        return resample(array, *_size(old_width, old_height, width, height, fit), linear=linear)
    scales = (width / old_width, height / old_height)
    across, down = width / max(scales), height / max(scales)
    left, top = (old_width - across) / 2, (old_height - down) / 2
    box = (max(left, 0), max(top, 0), min(left + across, old_width), min(top + down, old_height))
    return resample(array, width, height, box, linear)


def _size(
    width: int, height: int, new_width: int | None, new_height: int | None, fit: str
) -> tuple[int, int]:
    """Return the size of the result."""
    if new_width is None or new_height is None:
        scale = new_width / width if new_width is not None else (new_height or 1) / height
        return _scaled(width, height, scale)
    if fit == "contain":
        return _scaled(width, height, min(new_width / width, new_height / height))
    return new_width, new_height


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _area(params: Mapping[str, Any]) -> Area:
    """Tell that the whole picture is seen, unless what is left over is cropped."""
    both = params["width"] is not None and params["height"] is not None
    return "moved" if both and params["fit"] == "cover" else "scaled"


def _maps(params: Mapping[str, Any]) -> Along:
    return "same" if _area(params) == "scaled" else "lost"


def _needs_a_size(params: Mapping[str, Any]) -> None:
    if params["width"] is None and params["height"] is None:
        raise BadParameter("resize needs a width, a height or both.", parameter="width")


def result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    """Return the shape of the result."""
    wanted = params["width"], params["height"], params["fit"]
    width, height = _size(shape.width, shape.height, *wanted)
    return attrs.evolve(shape, width=width, height=height)


def working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon what :func:`dpip.filters.resampling.resample` takes: its steps, of which the largest counts."""
    result = result_shape(shape, params)
    between = result.width * shape.height  # pixels, after the first of two passes
    if shape.sample_bytes == 1 and not params["linear"] and not shape.has_alpha:
        sample = 4 if shape.channels == 3 else 1  # of Pillow's picture
        return max(
            sample * (shape.pixels + between + result.pixels) - result.bytes,
            sample * result.pixels + result.bytes,
        )
    linear = bool(params["linear"])
    if shape.is_float:
        size = shape.sample_bytes
        return (13 + 3 * size) * shape.samples + (8 + (2 + 3 * linear) * size) * result.samples
    floats = 4 * shape.samples
    begin = floats * (1 + shape.has_alpha) + linear * 19 * shape.colour_samples
    planes = floats + 8 * result.samples + 4 * (2 * shape.pixels + between + result.pixels)
    end = floats + 6 * result.samples + linear * 20 * result.colour_samples
    return max(begin, planes, end)


FILTER = Filter(
    name="resize",
    summary="Another size, resampled by Lanczos.",
    function=resize,
    parameters=(
        Parameter("width", "integer", None, "In pixels; by default in proportion to the height.", 1, 65535),
        Parameter("height", "integer", None, "In pixels; by default in proportion to the width.", 1, 65535),
        Parameter(
            "fit",
            "choice",
            "contain",
            "With both: fit into them, cover them, or stretch to them.",
            choices=("contain", "cover", "stretch"),
        ),
        Parameter("linear", "boolean", False, "Resize in linear light."),
    ),
    result_shape=result_shape,
    working_bytes=working_bytes,
    check=_needs_a_size,
    takes_floats=True,
    area=_area,
    maps=_maps,
    whole_picture=True,
    example={"width": 8},
)

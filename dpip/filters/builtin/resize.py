"""The filter ``resize``: Lanczos, to a width, a height or both."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.errors import BadParameter
from dpip.filters.schema import Area, Filter, Parameter, Pixels


def resize(array: Pixels, *, width: int | None, height: int | None, fit: str, linear: bool) -> Pixels:
    """Resample to ``width`` and ``height`` in pixels; where one is None, the proportions give it.

    With both, ``fit`` decides: "contain" makes the picture as large as fits into them, "cover" fills them and
    crops evenly what is left over, "stretch" distorts. ``linear`` averages light instead of sRGB values,
    which keeps fine bright details as bright as they were.
    """
    from dpip.filters.resampling import resample

    old_height, old_width = array.shape[:2]
    if width is None or height is None:
        scale = width / old_width if width is not None else (height or 1) / old_height
        return resample(array, *_scaled(old_width, old_height, scale), linear=linear)
    if fit == "stretch":
        return resample(array, width, height, linear=linear)
    scales = (width / old_width, height / old_height)
    if fit == "contain":
        return resample(array, *_scaled(old_width, old_height, min(scales)), linear=linear)
    across, down = width / max(scales), height / max(scales)
    left, top = (old_width - across) / 2, (old_height - down) / 2
    box = (max(left, 0), max(top, 0), min(left + across, old_width), min(top + down, old_height))
    return resample(array, width, height, box, linear)


def _scaled(width: int, height: int, scale: float) -> tuple[int, int]:
    return max(1, round(width * scale)), max(1, round(height * scale))


def _area(params: Mapping[str, Any]) -> Area:
    """Tell that the whole picture is seen, unless what is left over is cropped."""
    both = params["width"] is not None and params["height"] is not None
    return "moved" if both and params["fit"] == "cover" else "scaled"


def _needs_a_size(params: Mapping[str, Any]) -> None:
    if params["width"] is None and params["height"] is None:
        raise BadParameter("resize needs a width, a height or both.", parameter="width")


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
    memory_factor=20.0,
    check=_needs_a_size,
    takes_floats=True,
    area=_area,
    whole_picture=True,
    example={"width": 8},
)

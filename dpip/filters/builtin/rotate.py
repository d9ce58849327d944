"""The filter ``rotate``: by quarters exactly, by any other angle with bicubic interpolation."""

from __future__ import annotations

from dpip.filters.colours import BACKGROUND
from dpip.filters.schema import Filter, Parameter, Pixels


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


FILTER = Filter(
    name="rotate",
    summary="Turn clockwise, by quarters or by any angle.",
    function=rotate,
    parameters=(
        Parameter("angle", "float", 90.0, "Degrees clockwise; quarters lose nothing.", -360, 360),
        Parameter("expand", "boolean", True, "Make the picture large enough for all of its corners."),
        BACKGROUND,
    ),
    memory_factor=30.0,  # twice the pixels, with alpha as floating point
    takes_threads=True,
    whole_picture=True,
    takes_floats=True,
    area="cut",
)

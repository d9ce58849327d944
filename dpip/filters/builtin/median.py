"""The filter ``median``: it removes specks and keeps edges."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def median(array: Pixels, *, radius: int, threads: int = 1) -> Pixels:
    """Take the median of (2 ``radius`` + 1)² samples of each channel, alpha included, edges clamped."""
    import numpy as np

    from dpip.filters import floating
    from dpip.filters.alpha import channel_count
    from dpip.filters.bands import over_rows
    from dpip.filters.kernels import windows

    if array.dtype.kind == "f":
        return floating.median(array, radius)
    height, channels = array.shape[0], channel_count(array)
    result = np.empty_like(array)
    arguments = (array.reshape(-1), result.reshape(-1), height, array.shape[1] * channels, channels)
    if radius == 1:
        over_rows(height, threads, lambda a, b: windows.median_of_nine(*arguments, a, b))
    else:
        kernel = windows.median16 if array.dtype == np.uint16 else windows.median8
        over_rows(height, threads, lambda a, b: kernel(*arguments, radius, a, b))
    return result


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon a padded copy of floating point, and blocks of its windows."""
    return 1.2 * shape.bytes + shape.sample_bytes * (6 << 20) if shape.is_float else 0


FILTER = Filter(
    name="median",
    summary="Removes specks and keeps edges.",
    function=median,
    parameters=(Parameter("radius", "integer", 1, "Pixels to each side: 1 is a 3 x 3 square.", 1, 3),),
    working_bytes=_working_bytes,
    takes_threads=True,
    takes_floats=True,
    area="same",
)

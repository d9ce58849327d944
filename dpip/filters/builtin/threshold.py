"""The filter ``threshold``: black and white, at a given level or at the one that Otsu's method finds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def threshold(array: Pixels, *, value: int | str) -> Pixels:
    """Return white where the luma is above the level: H x W, or H x W x 2 with alpha as it was.

    ``value`` is 0 to 255 (times 257 for 16 bits, over 255 for floating point) or "otsu": the level with the
    largest variance between the two classes (Otsu, "A threshold selection method from gray-level histograms",
    1979).
    """
    import numpy as np

    from dpip.filters.builtin.grayscale import grayscale

    gray = grayscale(array)
    luma = gray if gray.ndim == 2 else gray[..., 0]
    if gray.dtype.kind == "f":
        return _of_floats(gray, luma, value)
    top = np.iinfo(gray.dtype).max
    level = _otsu(luma, top) if isinstance(value, str) else value * (top // 255)
    black_white = (luma > level).astype(gray.dtype) * gray.dtype.type(top)
    return black_white if gray.ndim == 2 else np.stack((black_white, gray[..., 1]), axis=2)


def _of_floats(gray: Pixels, luma: Pixels, value: int | str) -> Pixels:
    """Return 1 where the luma is above the level, else 0; what is not known stays."""
    import numpy as np

    known = np.isfinite(luma)
    black_white = luma.copy()
    black_white[known] = _above(luma[known], value)
    if gray.ndim == 2:
        return black_white
    return np.stack((black_white, gray[..., 1]), axis=2)


def _above(values: Pixels, value: int | str) -> Any:
    """Compare floating point with the level; Otsu's is one of 65,536 from the lowest to the highest."""
    import numpy as np

    if not isinstance(value, str):
        return values > value / 255
    low, high = float(values.min(initial=np.inf)), float(values.max(initial=-np.inf))
    if not low < high:
        return np.zeros(values.shape, np.bool_)
    steps = ((values.astype(np.float64) - low) / (high - low) * 65535).astype(np.uint16)
    return steps > _otsu(steps, 65535)


def _otsu(luma: Any, top: int) -> int:
    import numpy as np

    from dpip.filters.histograms import counts as counted

    counts = counted(np.ascontiguousarray(luma).reshape(1, -1)).astype(np.float64)
    below = counts.cumsum()
    weighted = (counts * np.arange(top + 1)).cumsum()
    above = below[-1] - below
    between = np.zeros(top + 1)
    both = (below > 0) & (above > 0)
    difference = weighted[both] / below[both] - (weighted[-1] - weighted[both]) / above[both]
    between[both] = below[both] * above[both] * difference**2
    return int(between.argmax())


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon the luma and what is above the level; for Otsu's method also whole numbers of floating point."""
    if shape.is_float:
        return (10 + 3.3 * shape.sample_bytes) * shape.pixels
    return (1.2 + (2.6 + 2.2 * shape.has_alpha) * shape.sample_bytes) * shape.pixels


FILTER = Filter(
    name="threshold",
    summary="Black and white.",
    function=threshold,
    parameters=(
        Parameter(
            "value",
            "integer",
            "otsu",
            "White is what is lighter than this; otsu finds it.",
            0,
            255,
            choices=("otsu",),
        ),
    ),
    result_shape=lambda shape, params: shape.gray,
    working_bytes=_working_bytes,
    luma_only=True,
    takes_floats=True,
    area="same",
    whole_picture=True,
)

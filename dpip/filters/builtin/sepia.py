"""The filter ``sepia``: the brown of old photographs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.filters.schema import Filter, Pixels
from dpip.filters.shape import Shape


def sepia(array: Pixels, *, threads: int = 1) -> Pixels:
    """Turn the picture, gray too, into brown RGB, with alpha where the original has it."""
    import numpy as np

    from dpip.filters.bands import over_rows
    from dpip.filters.floating import with_alpha_of
    from dpip.filters.kernels import points

    if array.ndim == 2:
        array = np.repeat(array[..., None], 3, axis=2)
    elif array.shape[2] == 2:
        array = np.ascontiguousarray(array[..., (0, 0, 0, 1)])
    if array.dtype.kind == "f":
        return with_alpha_of(_mixed(array), array)
    result = np.empty_like(array)
    channels, top = array.shape[2], np.iinfo(array.dtype).max

    def rows(first: int, last: int) -> None:
        points.sepia(array[first:last].reshape(-1), result[first:last].reshape(-1), channels, top)

    over_rows(array.shape[0], threads, rows)
    return result


def _mixed(array: Pixels) -> Pixels:
    """Apply the matrix of ``kernels.points`` to floating point."""
    import numpy as np

    from dpip.filters.kernels import points

    result = np.empty_like(array)
    for channel, weights in enumerate(points.SEPIA):
        parts = (array[..., n] * (int(weight) / 32768) for n, weight in enumerate(weights))
        result[..., channel] = sum(parts)
    return result


def result_shape(shape: Shape, params: Mapping[str, Any]) -> Shape:
    """Return the shape in colour."""
    return attrs.evolve(shape, channels=4 if shape.has_alpha else 3)


def working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon the gray picture in three channels, and sums of floating point."""
    return (int(shape.channels < 3) + 0.9 * shape.is_float) * result_shape(shape, params).bytes


FILTER = Filter(
    name="sepia",
    summary="The brown of old photographs.",
    function=sepia,
    result_shape=result_shape,
    working_bytes=working_bytes,
    takes_threads=True,
    takes_floats=True,
    area="same",
    maps="same",
)

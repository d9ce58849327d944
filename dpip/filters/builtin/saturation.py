"""The filter ``saturation``: stronger or weaker colours."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def saturation(array: Pixels, *, amount: float, threads: int = 1) -> Pixels:
    """Multiply the distance of each colour from its luma by 1 + ``amount`` / 100; copy gray.

    Whole numbers are clipped, floating point is not.
    """
    import numpy as np

    from dpip.filters import floating
    from dpip.filters.bands import over_rows
    from dpip.filters.builtin.grayscale import grayscale
    from dpip.filters.kernels import points

    if array.ndim == 2 or array.shape[2] == 2:
        return array.copy()
    factor = 1 + amount / 100
    if array.dtype.kind == "f":
        luma = floating.luma(array)
        luma = luma[..., None] if luma.ndim == 2 else luma[..., :1]
        return floating.with_alpha_of((luma + factor * (array - luma)).astype(array.dtype), array)
    channels, top = array.shape[2], float(np.iinfo(array.dtype).max)
    result = np.empty_like(array)

    def rows(first: int, last: int) -> None:
        colours = array[first:last]
        gray = grayscale(colours)
        points.saturate(
            colours.reshape(-1), gray.reshape(-1), result[first:last].reshape(-1), channels, factor, top
        )

    over_rows(array.shape[0], threads, rows)
    return result


FILTER = Filter(
    name="saturation",
    summary="Stronger or weaker colours.",
    function=saturation,
    parameters=(
        Parameter("amount", "float", 30.0, "Percent; -100 leaves gray, 0 changes nothing.", -100, 300),
    ),
    working_bytes=lambda shape, params: 0.6 * shape.bytes,
    takes_threads=True,
    takes_floats=True,
    area="same",
    maps="same",
)

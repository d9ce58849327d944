"""The filter ``box_blur``: the mean of a square."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def box_blur(array: Pixels, *, radius: int, threads: int = 1) -> Pixels:
    """Take the mean of (2 ``radius`` + 1)² pixels, edges clamped, colours weighted by their alpha."""
    import numpy as np

    from dpip.filters import floating
    from dpip.filters.alpha import divided, is_opaque, weighted

    if array.dtype.kind == "f":
        return floating.smoothed(array, lambda planes: _mean(planes.astype(np.float64), radius, threads))
    transparent = not is_opaque(array)
    result = _mean(weighted(array, np.float64) if transparent else array, radius, threads)
    return divided(result, array.dtype) if transparent else result


def _mean(samples: Pixels, radius: int, threads: int) -> Pixels:
    """Take the mean of each channel; whole numbers are rounded."""
    import numpy as np

    from dpip.filters.alpha import channel_count
    from dpip.filters.bands import over_rows
    from dpip.filters.kernels import windows

    height, channels = samples.shape[0], channel_count(samples)
    width = samples.shape[1] * channels
    result = np.empty_like(samples)
    source, target, half = samples.reshape(-1), result.reshape(-1), 0.0 if samples.dtype.kind == "f" else 0.5
    over_rows(
        height, threads, lambda a, b: windows.box(source, target, height, width, channels, radius, half, a, b)
    )
    return result


FILTER = Filter(
    name="box_blur",
    summary="Blur by the mean of a square.",
    function=box_blur,
    parameters=(Parameter("radius", "integer", 2, "Pixels to each side: 2 is a 5 x 5 square.", 1, 100),),
    # 64-bit numbers; floating point has weights, too
    working_bytes=lambda shape, params: (41 if shape.is_float else 17.5 * shape.has_alpha) * shape.samples,
    takes_threads=True,
    takes_floats=True,
    area="same",
)

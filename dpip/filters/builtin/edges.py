"""The filter ``edges``: the length of the gradient, by Sobel's masks."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def edges(array: Pixels, *, threads: int = 1) -> Pixels:
    """Return the gradient of the luma: H x W, or H x W x 2 with alpha as it was.

    Whole numbers are clipped at white, floating point is not.
    """
    import numpy as np

    from dpip.filters import floating
    from dpip.filters.bands import over_rows
    from dpip.filters.builtin.grayscale import grayscale
    from dpip.filters.kernels import windows

    gray = grayscale(array, threads=threads)
    luma = np.ascontiguousarray(gray if gray.ndim == 2 else gray[..., 0])
    if array.dtype.kind == "f":
        length = floating.gradient(luma)
        return length if gray.ndim == 2 else np.stack((length, gray[..., 1]), axis=2)
    height, width = luma.shape
    result = np.empty_like(luma)
    source, target, top = luma.reshape(-1), result.reshape(-1), float(np.iinfo(luma.dtype).max)
    over_rows(height, threads, lambda a, b: windows.sobel(source, target, height, width, top, a, b))
    return result if gray.ndim == 2 else np.stack((result, gray[..., 1]), axis=2)


FILTER = Filter(
    name="edges",
    summary="Bright where the picture changes (Sobel).",
    function=edges,
    result_shape=lambda shape, params: shape.gray,
    working_bytes=lambda shape, params: (
        shape.gray.bytes * (2 if shape.has_alpha else 1) * (1 + 3.4 * shape.is_float)
    ),
    takes_threads=True,
    takes_floats=True,
    area="same",
    luma_only=True,
)

"""The filter ``grayscale``: ITU-R BT.601 luma, bit-identical to Pillow's ``convert("L")``."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def grayscale(array: Pixels, *, threads: int = 1) -> Pixels:
    """Turn RGB into H x W and RGBA into H x W x 2 (luma, alpha as it was); copy gray."""
    import numpy as np

    from dpip.filters import floating
    from dpip.filters.bands import over_rows
    from dpip.filters.kernels import luma

    if array.dtype.kind == "f":
        return floating.luma(array)
    if array.ndim == 2 or array.shape[2] == 2:
        return array.copy()
    height, width, channels = array.shape
    gray = np.empty((height, width) if channels == 3 else (height, width, 2), array.dtype)
    kernels = (luma.luma8_alpha, luma.luma16_alpha) if channels == 4 else (luma.luma8, luma.luma16)
    convert = kernels[array.dtype == np.uint16]
    over_rows(height, threads, lambda a, b: convert(array[a:b].reshape(-1), gray[a:b].reshape(-1)))
    return gray


FILTER = Filter(
    name="grayscale",
    summary="Gray from colour: the luma of ITU-R BT.601.",
    function=grayscale,
    result_shape=lambda shape, params: shape.gray,
    working_bytes=lambda shape, params: 0.8 * shape.bytes if shape.is_float else 0,
    takes_threads=True,
    takes_floats=True,
    area="same",
    maps="same",
    cuda="dpip.filters.cuda.grayscale",
    luma_only=True,
)

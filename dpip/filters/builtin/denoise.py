"""The filter ``denoise``: non-local means."""

from __future__ import annotations

from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels


def denoise(array: Pixels, *, strength: float, radius: int, threads: int = 1) -> Pixels:
    """Replace each pixel by a mean of those within ``radius`` whose 5 x 5 surroundings look alike.

    ``strength`` is about the noise's standard deviation, in levels of 255.
    """
    import numpy as np

    from dpip.filters.alpha import divided, is_opaque, rounded

    planes = array if array.ndim == 3 else array[..., None]
    transparent = not is_opaque(planes)
    level = np.iinfo(array.dtype).max / 255 * (np.iinfo(array.dtype).max if transparent else 1)
    mixed = _mixed(planes, transparent, strength * level, radius, threads)
    if not transparent:
        return rounded(mixed, array.dtype).reshape(array.shape)
    mixed[..., -1] /= np.iinfo(array.dtype).max
    return divided(mixed, array.dtype)


def _mixed(planes: Pixels, transparent: bool, strength: float, radius: int, threads: int) -> Any:
    """Return the means as floating point, H x W x C."""
    import numpy as np

    from dpip.filters.bands import over_rows
    from dpip.filters.kernels import denoising

    height, width, channels = planes.shape
    source = _padded(planes, transparent, radius + denoising.PATCH).reshape(-1)
    result = np.empty((channels, height, width), np.float32)
    target = result.reshape(-1)
    scale = 1 / (4 * channels * (2 * denoising.PATCH + 1) ** 2 * strength**2)
    over_rows(
        height,
        threads,
        lambda a, b: denoising.means(source, target, height, width, channels, radius, scale, a, b),
    )
    return np.ascontiguousarray(result.transpose(1, 2, 0))


def _padded(planes: Pixels, transparent: bool, border: int) -> Any:
    """Return the samples as floating point, C x H x W, with a border."""
    import numpy as np

    from dpip.filters.alpha import weighted

    samples = weighted(planes, np.float32) if transparent else planes.astype(np.float32)
    if transparent:
        samples[..., -1] *= np.iinfo(planes.dtype).max  # colours times alpha, and alpha, on one scale
    around = ((0, 0), (border, border), (border, border))
    return np.pad(samples.transpose(2, 0, 1), around, mode="edge")


FILTER = Filter(
    name="denoise",
    summary="Less noise, and details stay (non-local means).",
    function=denoise,
    parameters=(
        Parameter("strength", "float", 8.0, "About the noise's deviation, in levels of 255.", 0.5, 100),
        Parameter("radius", "integer", 5, "How far like pixels are looked for: 5 is 11 x 11.", 1, 10),
    ),
    working_bytes=lambda shape, params: 13 * shape.samples,  # as floating point, with a border
    takes_threads=True,
    area="same",
)

"""The filter ``dither``: few tones that look like many from afar."""

from __future__ import annotations

from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels


def dither(array: Pixels, *, levels: int, method: str, threads: int = 1) -> Pixels:
    """Round each colour to one of ``levels`` values, evenly spaced from black to white; alpha stays.

    "floyd_steinberg" passes each error on to the neighbours, "ordered" rounds by Bayer's pattern, which
    compresses better and does not flicker in films.
    """
    import numpy as np

    from dpip.filters.alpha import channel_count
    from dpip.filters.bands import over_rows
    from dpip.filters.kernels import dithering

    height, width = array.shape[:2]
    channels, top = channel_count(array), int(np.iinfo(array.dtype).max)
    result = np.empty_like(array)
    source, target = array.reshape(-1), result.reshape(-1)
    nearest = _nearest(levels, top)
    if method == "floyd_steinberg":
        dithering.diffuse(source, target, nearest, height, width, channels)
        return result
    spacing = top / (levels - 1)
    pattern = np.rint(((2 * _bayer() + 1) / 128 - 0.5) * spacing).astype(np.int32)
    over_rows(
        height,
        threads,
        lambda a, b: dithering.order(source, target, nearest, pattern, width, channels, a, b),
    )
    return result


def _nearest(levels: int, top: int) -> Any:
    """Return the nearest of the values for each number from -(top + 1) to 2 top + 1, as errors may give."""
    import numpy as np

    steps = levels - 1
    numbers = np.arange(-(top + 1), 2 * (top + 1)).clip(0, top)
    return np.rint(np.rint(numbers * (steps / top)) * (top / steps)).astype(np.int32)


def _bayer() -> Any:
    """Return Bayer's 8 x 8 pattern, flat: four copies of the one before, each point split into four."""
    import numpy as np

    pattern = np.zeros((1, 1), np.int64)
    for _ in range(3):
        pattern = np.block([[4 * pattern, 4 * pattern + 2], [4 * pattern + 3, 4 * pattern + 1]])
    return pattern.reshape(-1)


FILTER = Filter(
    name="dither",
    summary="Few tones that look like many from afar; after grayscale, black and white.",
    function=dither,
    parameters=(
        Parameter("levels", "integer", 2, "Values that each colour may have.", 2, 64),
        Parameter(
            "method",
            "choice",
            "floyd_steinberg",
            "How errors are hidden: passed on to the neighbours, or by a regular pattern.",
            choices=("floyd_steinberg", "ordered"),
        ),
    ),
    working_bytes=lambda shape, params: 1.5 * shape.pixels * shape.sample_bytes,
    takes_threads=True,
    whole_picture=True,
    area="same",
)

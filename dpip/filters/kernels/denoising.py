"""Non-local means: each pixel becomes a mean of those around it whose surroundings look alike.

Buades, Coll, Morel, "A non-local algorithm for image denoising" (2005), with the bisquare weights of Goossens
et al., "An improved non-local denoising algorithm" (2008), which need no exponential. One offset after the
other, for a tile of the picture: so every loop runs along a row, and LLVM computes 8 or more pixels at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import FLOAT, FLOATS, FLOATS_OUT, INT, kernel

#: Pixels to each side that are compared: 2 is a 5 x 5 square.
PATCH = 2
_ROWS, _COLUMNS = 32, 256


@register_jitable
def _add_square(here: Any, there: Any, out: Any) -> None:
    for x in range(out.size):
        difference = here[x] - there[x]
        out[x] += difference * difference


@register_jitable
def _sum_rows(a: Any, b: Any, c: Any, d: Any, e: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = a[x] + b[x] + c[x] + d[x] + e[x]


@register_jitable
def _weigh(sums: Any, scale: Any, weights: Any, total: Any) -> None:
    for x in range(weights.size):
        distance = sums[x] + sums[x + 1] + sums[x + 2] + sums[x + 3] + sums[x + 4]
        near = max(np.float32(1) - distance * scale, np.float32(0))
        weights[x] = near * near
        total[x] += near * near


@register_jitable
def _add_weighted(weights: Any, there: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] += weights[x] * there[x]


@register_jitable
def _divide(sums: Any, total: Any, out: Any) -> None:
    for x in range(out.size):
        out[x] = sums[x] / total[x]


@kernel((FLOATS, FLOATS_OUT, *(INT,) * 4, FLOAT, INT, INT))
def means(
    source: Any,
    target: Any,
    height: int,
    width: int,
    planes: int,
    radius: int,
    scale: float,
    first: int,
    last: int,
) -> None:
    """Make rows first to last - 1 from a square of ``radius`` pixels to each side.

    Channels are planes, one after the other; those of ``source`` have a border of ``radius`` + PATCH pixels.
    Weights are (1 - s)², where s is the sum of the squared differences of two patches times ``scale``.
    """
    border = radius + PATCH
    stride = width + 2 * border
    plane = (height + 2 * border) * stride
    difference = np.empty((_ROWS + 2 * PATCH, _COLUMNS + 2 * PATCH), np.float32)
    columns = np.empty(_COLUMNS + 2 * PATCH, np.float32)
    weights = np.empty(_COLUMNS, np.float32)
    total = np.empty((_ROWS, _COLUMNS), np.float32)
    sums = np.empty((planes, _ROWS, _COLUMNS), np.float32)
    factor = np.float32(scale)
    for y0 in range(first, last, _ROWS):
        rows = min(_ROWS, last - y0)
        for x0 in range(0, width, _COLUMNS):
            span = min(_COLUMNS, width - x0)
            wide = span + 2 * PATCH
            total[:] = 0
            sums[:] = 0
            for dy in range(-radius, radius + 1):
                for dx in range(-radius, radius + 1):
                    shift = dy * stride + dx
                    for r in range(rows + 2 * PATCH):
                        line = difference[r, :wide]
                        line[:] = 0
                        for p in range(planes):
                            i = p * plane + (y0 + r + radius) * stride + x0 + radius
                            _add_square(source[i : i + wide], source[i + shift : i + shift + wide], line)
                    for r in range(rows):
                        _sum_rows(
                            difference[r, :wide],
                            difference[r + 1, :wide],
                            difference[r + 2, :wide],
                            difference[r + 3, :wide],
                            difference[r + 4, :wide],
                            columns[:wide],
                        )
                        _weigh(columns[:wide], factor, weights[:span], total[r, :span])
                        for p in range(planes):
                            i = p * plane + (y0 + r + border) * stride + x0 + border + shift
                            _add_weighted(weights[:span], source[i : i + span], sums[p, r, :span])
            for p in range(planes):
                for r in range(rows):
                    i = (p * height + y0 + r) * width + x0
                    _divide(sums[p, r, :span], total[r, :span], target[i : i + span])

"""The Gaussian in float32, for what 8.7 fixed point cannot hold: 16 bits, and colours times alpha.

Per output row, the vertical pass fills one scratch row and the horizontal pass reads it, so the picture in
between is never stored. The rounding of float32 stays below 0.1 of 1/65535 up to sigma 100; no contraction to
fused multiply-adds is allowed, so every machine gives the same bits.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from dpip.filters.bands import over_rows
from dpip.filters.kernels.compile import FLOATS, FLOATS_OUT, INT, kernel


@kernel((FLOATS, FLOATS_OUT, INT, INT, INT, FLOATS, INT, INT))
def _rows(
    source: Any, target: Any, height: Any, width: Any, channels: Any, weights: Any, first: Any, last: Any
) -> None:
    """Filter rows first to last - 1, edges clamped; ``weights`` go from the centre outwards."""
    n = width * channels
    taps = weights.size
    pad = (taps - 1) * channels
    line = np.empty(n + 2 * pad, np.float32)
    middle = line[pad : pad + n]
    for y in range(first, last):
        here = source[y * n : (y + 1) * n]
        for x in range(n):
            middle[x] = weights[0] * here[x]
        for k in range(1, taps):
            w = weights[k]
            up = max(y - k, 0) * n
            down = min(y + k, height - 1) * n
            above = source[up : up + n]
            below = source[down : down + n]
            for x in range(n):
                middle[x] += w * (above[x] + below[x])
        for k in range(pad):
            line[k] = middle[k % channels]
            line[pad + n + k] = middle[n - channels + k % channels]
        out = target[y * n : (y + 1) * n]
        for x in range(n):
            out[x] = weights[0] * middle[x]
        for k in range(1, taps):
            w = weights[k]
            left = line[pad - k * channels : pad - k * channels + n]
            right = line[pad + k * channels : pad + k * channels + n]
            for x in range(n):
                out[x] += w * (left[x] + right[x])


def weights(sigma: float) -> npt.NDArray[np.float32]:
    """Return weights from the centre to 5 sigma; both halves sum to 1, less than a millionth is cut off."""
    x = np.arange(math.ceil(5 * sigma) + 1)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    half: npt.NDArray[np.float32] = (bell / (2 * bell.sum() - bell[0])).astype(np.float32)
    return half


def gaussian(array: npt.NDArray[np.float32], sigma: float, threads: int = 1) -> npt.NDArray[np.float32]:
    """Blur H x W x C float32."""
    height, width, channels = array.shape
    flat = np.ascontiguousarray(array).reshape(-1)
    target = np.empty_like(flat)
    bell = weights(sigma)
    over_rows(height, threads, lambda a, b: _rows(flat, target, height, width, channels, bell, a, b))
    return target.reshape(array.shape)

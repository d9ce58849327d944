"""Kernels that work on single pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, FLOAT, INT, WORDS, WORDS_OUT, kernel


@kernel((BYTES, BYTES_OUT, BYTES, INT), (WORDS, WORDS_OUT, WORDS, INT))
def look_up(source: Any, target: Any, table: Any, channels: int) -> None:
    """Replace every sample from a table of all its values; alpha, if there is one, stays."""
    if channels % 2 == 1:
        for i in range(source.size):
            target[i] = table[source[i]]
    else:
        for i in range(0, source.size, channels):
            for c in range(channels - 1):
                target[i + c] = table[source[i + c]]
            target[i + channels - 1] = source[i + channels - 1]


# 0.393 0.769 0.189, 0.349 0.686 0.168, 0.272 0.534 0.131 in 15 bits: sums of 16-bit samples fit 32.
_RED = tuple(np.uint32(weight) for weight in (12878, 25199, 6193))
_GREEN = tuple(np.uint32(weight) for weight in (11436, 22479, 5505))
_BLUE = tuple(np.uint32(weight) for weight in (8913, 17498, 4293))

SEPIA = (_RED, _GREEN, _BLUE)


@register_jitable
def _mixed(weights: Any, r: Any, g: Any, b: Any, top: Any) -> Any:
    total = np.uint32(weights[0] * r + weights[1] * g + weights[2] * b + np.uint32(16384))
    return min(np.uint32(total >> np.uint32(15)), top)


@kernel((BYTES, BYTES_OUT, INT, INT), (WORDS, WORDS_OUT, INT, INT))
def sepia(source: Any, target: Any, channels: int, top: int) -> None:
    """Turn RGB or RGBA into brown, by the customary matrix."""
    white = np.uint32(top)
    for i in range(0, source.size, channels):
        r, g, b = np.uint32(source[i]), np.uint32(source[i + 1]), np.uint32(source[i + 2])
        target[i] = _mixed(_RED, r, g, b, white)
        target[i + 1] = _mixed(_GREEN, r, g, b, white)
        target[i + 2] = _mixed(_BLUE, r, g, b, white)
        if channels == 4:
            target[i + 3] = source[i + 3]


@kernel((BYTES, BYTES, BYTES_OUT, FLOAT, FLOAT), (WORDS, WORDS, WORDS_OUT, FLOAT, FLOAT))
def unsharp(source: Any, blurred: Any, target: Any, amount: float, top: float) -> None:
    """Add ``amount`` times the difference between the original and its blur."""
    strength = np.float32(amount)
    for i in range(source.size):
        here = np.float32(source[i])
        value = here + strength * (here - np.float32(blurred[i])) + np.float32(0.5)
        target[i] = np.int32(min(max(value, np.float32(0)), np.float32(top)))

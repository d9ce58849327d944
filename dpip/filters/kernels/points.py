"""Filters that look at one pixel at a time."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, FLOAT, INT, WORDS, WORDS_OUT, kernel


@kernel((BYTES, BYTES_OUT, BYTES, INT), (WORDS, WORDS_OUT, WORDS, INT))
def look_up(source: Any, target: Any, table: Any, channels: int) -> None:
    """Every sample through a table of all its values; alpha, where there is one, stays."""
    if channels % 2 == 1:
        for i in range(source.size):
            target[i] = table[source[i]]
    else:
        for i in range(0, source.size, channels):
            for c in range(channels - 1):
                target[i + c] = table[source[i + c]]
            target[i + channels - 1] = source[i + channels - 1]


@kernel((BYTES, BYTES_OUT, INT, INT), (WORDS, WORDS_OUT, INT, INT))
def sepia(source: Any, target: Any, channels: int, top: int) -> None:
    """RGB or RGBA to the same in brown, by the customary matrix in 16-bit fixed point."""
    for i in range(0, source.size, channels):
        r, g, b = np.int64(source[i]), np.int64(source[i + 1]), np.int64(source[i + 2])
        target[i] = min((25756 * r + 50397 * g + 12386 * b + 32768) >> 16, top)
        target[i + 1] = min((22872 * r + 44958 * g + 11010 * b + 32768) >> 16, top)
        target[i + 2] = min((17826 * r + 34996 * g + 8585 * b + 32768) >> 16, top)
        if channels == 4:
            target[i + 3] = source[i + 3]


@kernel((BYTES, BYTES, BYTES_OUT, FLOAT, FLOAT), (WORDS, WORDS, WORDS_OUT, FLOAT, FLOAT))
def unsharp(source: Any, blurred: Any, target: Any, amount: float, top: float) -> None:
    """The original plus ``amount`` times what the blur took away."""
    strength = np.float32(amount)
    for i in range(source.size):
        here = np.float32(source[i])
        value = here + strength * (here - np.float32(blurred[i])) + np.float32(0.5)
        target[i] = np.int32(min(max(value, np.float32(0)), np.float32(top)))

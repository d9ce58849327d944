"""Kernels that work on single pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, FLOAT, INT, WORDS, WORDS_OUT, kernel

_BYTE = np.uint64(0xFF)


@register_jitable
def _look_up_words(source: Any, target: Any, table: Any) -> None:
    """Replace bytes from a table, eight at a time: storing each by itself would take longer."""
    wide = table.astype(np.uint64)
    for i in range(source.size):
        word = source[i]
        target[i] = (
            wide[word & _BYTE]
            | wide[word >> np.uint64(8) & _BYTE] << np.uint64(8)
            | wide[word >> np.uint64(16) & _BYTE] << np.uint64(16)
            | wide[word >> np.uint64(24) & _BYTE] << np.uint64(24)
            | wide[word >> np.uint64(32) & _BYTE] << np.uint64(32)
            | wide[word >> np.uint64(40) & _BYTE] << np.uint64(40)
            | wide[word >> np.uint64(48) & _BYTE] << np.uint64(48)
            | wide[word >> np.uint64(56)] << np.uint64(56)
        )


@kernel((BYTES, BYTES_OUT, BYTES, INT), (WORDS, WORDS_OUT, WORDS, INT))
def look_up(source: Any, target: Any, table: Any, channels: int) -> None:
    """Replace every sample from a table of all its values; alpha, if there is one, stays."""
    if channels % 2 == 1:
        words = source.size // 8 if source.itemsize == 1 else 0
        if words:
            _look_up_words(source[: 8 * words].view(np.uint64), target[: 8 * words].view(np.uint64), table)
        for i in range(8 * words, source.size):
            target[i] = table[source[i]]
    else:
        for i in range(0, source.size, channels):
            for c in range(channels - 1):
                target[i + c] = table[source[i + c]]
            target[i + channels - 1] = source[i + channels - 1]


@kernel((BYTES, BYTES_OUT, BYTES, INT), (WORDS, WORDS_OUT, WORDS, INT))
def look_up_each(source: Any, target: Any, tables: Any, channels: int) -> None:
    """Replace red, green and blue from a table each, one after the other; alpha, if there is one, stays."""
    size = tables.size // 3
    red, green, blue = tables[:size], tables[size : 2 * size], tables[2 * size :]
    if channels == 3:
        for x in range(source.size // 3):
            i = 3 * x
            target[i] = red[source[i]]
            target[i + 1] = green[source[i + 1]]
            target[i + 2] = blue[source[i + 2]]
    else:
        for x in range(source.size // 4):
            i = 4 * x
            target[i] = red[source[i]]
            target[i + 1] = green[source[i + 1]]
            target[i + 2] = blue[source[i + 2]]
            target[i + 3] = source[i + 3]


@register_jitable
def _away(value: Any, gray: Any, strength: Any, top: Any) -> Any:
    moved = gray + strength * (np.float32(value) - gray) + np.float32(0.5)
    return np.int32(min(max(moved, np.float32(0)), top))


@kernel((BYTES, BYTES, BYTES_OUT, INT, FLOAT, FLOAT), (WORDS, WORDS, WORDS_OUT, INT, FLOAT, FLOAT))
def saturate(source: Any, luma: Any, target: Any, channels: int, amount: float, top: float) -> None:
    """Move red, green and blue away from the luma, or towards it; the luma of RGBA has alpha, too."""
    strength, most = np.float32(amount), np.float32(top)
    if channels == 3:
        for x in range(luma.size):
            i, gray = 3 * x, np.float32(luma[x])
            target[i] = _away(source[i], gray, strength, most)
            target[i + 1] = _away(source[i + 1], gray, strength, most)
            target[i + 2] = _away(source[i + 2], gray, strength, most)
    else:
        for x in range(luma.size // 2):
            i, gray = 4 * x, np.float32(luma[2 * x])
            target[i] = _away(source[i], gray, strength, most)
            target[i + 1] = _away(source[i + 1], gray, strength, most)
            target[i + 2] = _away(source[i + 2], gray, strength, most)
            target[i + 3] = source[i + 3]


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

"""Kernels that round to few levels so that the mean stays: by passing errors on, or by a pattern."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, INT, WORDS, WORDS_OUT, kernel

_NUMBERS = types.Array(types.int32, 1, "C", readonly=True)


@register_jitable
def _round(source: Any, target: Any, nearest: Any, i: Any, passed: Any) -> Any:
    """Round the sample ``i`` with what was passed on to it, in sixteenths; return the error."""
    wanted = np.int32(source[i]) + np.int32(nearest.size // 3) + ((passed + np.int32(8)) >> np.int32(4))
    value = nearest[np.uint64(wanted)]
    target[i] = value
    return wanted - np.int32(nearest.size // 3) - value


@kernel((BYTES, BYTES_OUT, _NUMBERS, *(INT,) * 3), (WORDS, WORDS_OUT, _NUMBERS, *(INT,) * 3))
def diffuse(source: Any, target: Any, nearest: Any, height: int, width: int, channels: int) -> None:
    """Round each colour by the table ``nearest``; the error goes to the neighbours still to come.

    Floyd, Steinberg, "An adaptive algorithm for spatial grey scale" (1976). Errors are in sixteenths. Alpha
    stays. The middle third of the table is for the values of the picture. As each pixel waits for the one
    before it, two rows are done at once, the lower one two pixels behind.
    """
    colours = channels if channels % 2 == 1 else channels - 1
    step, one, two = np.uint64(channels), np.uint64(1), np.uint64(2)
    five, seven, three = np.int32(5), np.int32(7), np.int32(3)
    # What each pixel of the upper and of the lower row gets from above, from the pixel before the first one.
    upper, lower = np.zeros(width + 2, np.int32), np.zeros(width + 2, np.int32)
    for c in range(colours):
        upper[:] = 0
        for y in range(0, height, 2):
            i = np.uint64(y * width * channels + c)
            k = np.uint64(((y + 1) * width - 2) * channels + c)
            a1, a2, b1, b2 = np.int32(0), np.int32(0), np.int32(0), np.int32(0)  # the last errors of each
            pair = y + 1 < height
            for x in range(np.uint64(width + 2)):
                if x < np.uint64(width):
                    error = _round(source, target, nearest, i, upper[x + one] + seven * a1)
                    lower[x] = a2 + five * a1 + three * error
                    a2, a1 = a1, error
                elif x == np.uint64(width):
                    lower[x] = a2 + five * a1
                if pair and x >= two:
                    error = _round(source, target, nearest, k, lower[x - one] + seven * b1)
                    upper[x - two] = b2 + five * b1 + three * error
                    b2, b1 = b1, error
                i += step
                k += step
            upper[width] = b2 + five * b1
    if colours < channels:
        for x in range(height * width):
            i = np.uint64(x * channels + colours)
            target[i] = source[i]


@kernel(
    (BYTES, BYTES_OUT, _NUMBERS, _NUMBERS, *(INT,) * 4), (WORDS, WORDS_OUT, _NUMBERS, _NUMBERS, *(INT,) * 4)
)
def order(
    source: Any,
    target: Any,
    nearest: Any,
    pattern: Any,
    width: int,
    channels: int,
    first: int,
    last: int,
) -> None:
    """Round each colour by the table ``nearest`` after adding a pattern of 8 x 8 numbers; alpha stays."""
    colours = channels if channels % 2 == 1 else channels - 1
    zero = np.int32(nearest.size // 3)
    for y in range(first, last):
        for x in range(width):
            i = np.uint64((y * width + x) * channels)
            lift = pattern[np.uint64(y % 8 * 8 + x % 8)] + zero
            for c in range(np.uint64(colours)):
                target[i + c] = nearest[np.uint64(np.int32(source[i + c]) + lift)]
            if colours < channels:
                target[i + np.uint64(colours)] = source[i + np.uint64(colours)]

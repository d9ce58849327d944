"""Kernels that work on a square around each pixel; beyond the edge the nearest pixel counts.

Pictures are flat and ``width`` is in samples; each kernel makes rows first to last - 1.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import (
    BYTES,
    BYTES_OUT,
    DOUBLES,
    DOUBLES_OUT,
    FLOAT,
    INT,
    WORDS,
    WORDS_OUT,
    kernel,
)

# Loops over rows are functions of their own: inside a kernel, LLVM does not see that slices do not overlap.


@register_jitable
def _slide(enter: Any, leave: Any, sums: Any, channels: int) -> None:
    """Compute running sums: sums[x + channels] is around sample x, plus ``enter``, minus ``leave``."""
    for x in range(enter.size):
        sums[x + channels] = enter[x] - leave[x]
    for x in range(enter.size):
        sums[x + channels] += sums[x]


@register_jitable
def _scale(sums: Any, out: Any, share: float, half: float) -> None:
    for x in range(out.size):
        out[x] = sums[x] * share + half


@register_jitable
def _move(columns: Any, new: Any, old: Any) -> None:
    for x in range(columns.size):
        columns[x] += np.float64(new[x]) - np.float64(old[x])


@register_jitable
def _middle(a: Any, b: Any, c: Any) -> Any:
    return max(min(a, b), min(max(a, b), c))


@register_jitable
def _sort_columns(above: Any, here: Any, below: Any, low: Any, mid: Any, high: Any) -> None:
    for x in range(low.size):
        a, b, c = above[x], here[x], below[x]
        low[x] = min(min(a, b), c)
        mid[x] = _middle(a, b, c)
        high[x] = max(max(a, b), c)


@register_jitable
def _middle_of_three(low: Any, mid: Any, high: Any, three: Any, out: Any, channels: int) -> None:
    """Find the median of sorted columns, in four loops: in one, LLVM has too many pointers to compare."""
    lowest, middle, highest = three[0], three[1], three[2]
    for x in range(out.size):
        lowest[x] = max(max(low[x], low[x + channels]), low[x + 2 * channels])
    for x in range(out.size):
        middle[x] = _middle(mid[x], mid[x + channels], mid[x + 2 * channels])
    for x in range(out.size):
        highest[x] = min(min(high[x], high[x + channels]), high[x + 2 * channels])
    for x in range(out.size):
        out[x] = _middle(lowest[x], middle[x], highest[x])


@kernel(
    (BYTES, BYTES_OUT, INT, INT, INT, INT, FLOAT, INT, INT),
    (WORDS, WORDS_OUT, INT, INT, INT, INT, FLOAT, INT, INT),
    (DOUBLES, DOUBLES_OUT, INT, INT, INT, INT, FLOAT, INT, INT),
)
def box(
    source: Any,
    target: Any,
    height: int,
    width: int,
    channels: int,
    radius: int,
    half: float,
    first: int,
    last: int,
) -> None:
    """Take the mean of (2 radius + 1)² pixels, plus ``half`` for rounding, by running sums.

    So the radius costs nothing. All sums are whole numbers below 2^53 and exact in float64; the area is odd,
    so no mean ends in 1/2.
    """
    margin = (radius + 1) * channels
    line = np.zeros(margin + width + margin, np.float64)
    sums = np.empty(width + channels, np.float64)
    columns = line[margin : margin + width]
    share = 1.0 / ((2 * radius + 1) * (2 * radius + 1))
    for k in range(-radius, radius + 1):
        start = min(max(first + k, 0), height - 1) * width
        row = source[start : start + width]
        for x in range(width):
            columns[x] += row[x]
    for y in range(first, last):
        for i in range(margin):
            line[margin - 1 - i] = line[margin + channels - 1 - i]
            line[margin + width + i] = line[margin + width - channels + i]
        for c in range(channels):
            sums[c] = 0
            for k in range(-radius - 1, radius):
                sums[c] += line[margin + c + k * channels]
        reach = radius * channels
        _slide(line[margin + reach : margin + reach + width], line[:width], sums, channels)
        _scale(sums[channels:], target[y * width : (y + 1) * width], share, half)
        enters = min(y + 1 + radius, height - 1) * width
        leaves = max(y - radius, 0) * width
        _move(columns, source[enters : enters + width], source[leaves : leaves + width])


@kernel((BYTES, BYTES_OUT, INT, INT, FLOAT, INT, INT), (WORDS, WORDS_OUT, INT, INT, FLOAT, INT, INT))
def sobel(source: Any, target: Any, height: int, width: int, top: float, first: int, last: int) -> None:
    """Compute the length of a gray picture's gradient by Sobel's 3 x 3 masks, clipped at ``top``."""
    padded = np.empty((3, width + 2), np.int32)
    for y in range(first, last):
        for k in range(3):
            start = min(max(y + k - 1, 0), height - 1) * width
            row = padded[k]
            for x in range(width):
                row[x + 1] = source[start + x]
            row[0] = row[1]
            row[width + 1] = row[width]
        above, here, below = padded[0], padded[1], padded[2]
        for x in range(width):
            left = above[x] + 2 * here[x] + below[x]
            right = above[x + 2] + 2 * here[x + 2] + below[x + 2]
            over = above[x] + 2 * above[x + 1] + above[x + 2]
            under = below[x] + 2 * below[x + 1] + below[x + 2]
            across, down = np.float64(right - left), np.float64(under - over)
            target[y * width + x] = np.int32(min(math.sqrt(across * across + down * down) + 0.5, top))


@kernel((BYTES, BYTES_OUT, INT, INT, INT, INT, INT), (WORDS, WORDS_OUT, INT, INT, INT, INT, INT))
def median_of_nine(
    source: Any, target: Any, height: int, width: int, channels: int, first: int, last: int
) -> None:
    """Take the median of 3 x 3: sort the columns, then take the median of the largest low, the middle middle
    and the smallest high.

    These are only minima and maxima, so LLVM computes 32 or more samples at once.
    """
    padded = np.empty((3, width + 2 * channels), source.dtype)
    low, mid, high = padded[0], padded[1], padded[2]
    three = np.empty((3, width), source.dtype)
    inner = slice(channels, channels + width)
    for y in range(first, last):
        above = source[max(y - 1, 0) * width : max(y - 1, 0) * width + width]
        here = source[y * width : y * width + width]
        below = source[min(y + 1, height - 1) * width : min(y + 1, height - 1) * width + width]
        _sort_columns(above, here, below, low[inner], mid[inner], high[inner])
        for row in padded:
            for c in range(channels):
                row[c] = row[channels + c]
                row[channels + width + c] = row[width + c]
        _middle_of_three(low, mid, high, three, target[y * width : (y + 1) * width], channels)


@kernel((BYTES, BYTES_OUT, INT, INT, INT, INT, INT, INT))
def median8(
    source: Any, target: Any, height: int, width: int, channels: int, radius: int, first: int, last: int
) -> None:
    """Take the median by a histogram that moves along the row.

    Source: Huang, Yang, Tang, "A fast two-dimensional median filtering algorithm" (1979).
    """
    middle = ((2 * radius + 1) * (2 * radius + 1)) // 2
    counts = np.empty(256, np.int32)
    end = width - channels
    for y in range(first, last):
        for c in range(channels):
            counts[:] = 0
            for j in range(-radius, radius + 1):
                row = min(max(y + j, 0), height - 1) * width + c
                for i in range(-radius, radius + 1):
                    counts[source[row + min(max(i * channels, 0), end)]] += 1
            median = 0
            below = np.int64(0)  # how many are less than the median
            for x in range(0, width, channels):
                while below > middle:
                    median -= 1
                    below -= counts[median]
                while below + counts[median] <= middle:
                    below += counts[median]
                    median += 1
                target[y * width + x + c] = median
                leaves = max(x - radius * channels, 0)
                enters = min(x + (radius + 1) * channels, end)
                for j in range(-radius, radius + 1):
                    row = min(max(y + j, 0), height - 1) * width + c
                    old, new = source[row + leaves], source[row + enters]
                    counts[old] -= 1
                    counts[new] += 1
                    below += np.int64(new < median) - np.int64(old < median)


@kernel((WORDS, WORDS_OUT, INT, INT, INT, INT, INT, INT))
def median16(
    source: Any, target: Any, height: int, width: int, channels: int, radius: int, first: int, last: int
) -> None:
    """Take the median by sorting each window: 49 numbers sort faster than 65536 counts are searched."""
    size = (2 * radius + 1) * (2 * radius + 1)
    window = np.empty(size, np.uint16)
    end = width - channels
    for y in range(first, last):
        for x in range(width):
            n = 0
            for j in range(-radius, radius + 1):
                row = min(max(y + j, 0), height - 1) * width + x % channels
                for i in range(-radius, radius + 1):
                    value = source[row + min(max(x - x % channels + i * channels, 0), end)]
                    k = n
                    while k > 0 and window[k - 1] > value:
                        window[k] = window[k - 1]
                        k -= 1
                    window[k] = value
                    n += 1
            target[y * width + x] = window[size // 2]

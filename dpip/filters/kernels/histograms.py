"""Kernels that count the values of a picture, and the equalisation of tiles that follows from the counts."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import register_jitable

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, FLOATS, INT, INTS, WORDS, WORDS_OUT, kernel

#: Neighbours are mostly alike; adding to one count twice at once would wait for memory.
LANES = 4
_COUNTS = types.int32[::1]


@kernel((BYTES, _COUNTS, *(INT,) * 7), (WORDS, _COUNTS, *(INT,) * 7))
def count(
    source: Any,
    counts: Any,
    width: int,
    channels: int,
    channel: int,
    left: int,
    right: int,
    first: int,
    last: int,
) -> None:
    """Add to ``counts``, LANES one after the other, one channel's samples in a rectangle.

    Where alpha is 0, nobody sees the colour, and it does not count.
    """
    bins = counts.size // LANES
    a, b, c, d = counts[:bins], counts[bins : 2 * bins], counts[2 * bins : 3 * bins], counts[3 * bins :]
    step, one = np.uint64(channels), np.int32(1)
    for y in range(first, last):
        i = np.uint64((y * width + left) * channels + channel)
        rest = right - left
        if channels % 2 == 0:
            to_alpha = np.uint64(channels - 1 - channel)
            for _ in range(rest):
                if source[i + to_alpha] != 0:
                    a[np.uint64(source[i])] += one
                i += step
            continue
        for _ in range(rest // 4):
            a[np.uint64(source[i])] += one
            b[np.uint64(source[i + step])] += one
            c[np.uint64(source[i + step + step])] += one
            d[np.uint64(source[i + step + step + step])] += one
            i += step + step + step + step
        for _ in range(rest % 4):
            a[np.uint64(source[i])] += one
            i += step


@register_jitable
def _blend(upper: Any, lower: Any, weight: Any, out: Any) -> None:
    for i in range(out.size):
        above = np.float32(upper[i])
        out[i] = above + weight * (np.float32(lower[i]) - above)


@register_jitable
def _plus(old: Any, more: Any, top: Any) -> Any:
    return min(max(np.int32(old) + more, np.int32(0)), top)


@register_jitable
def _add(source: Any, more: Any, target: Any, channels: int, top: Any) -> None:
    """Add ``more`` of each pixel to its colours; alpha stays."""
    if channels == 1:
        for x in range(more.size):
            target[x] = _plus(source[x], more[x], top)
    elif channels == 3:
        for x in range(more.size):
            i, some = 3 * x, more[x]
            target[i] = _plus(source[i], some, top)
            target[i + 1] = _plus(source[i + 1], some, top)
            target[i + 2] = _plus(source[i + 2], some, top)
    else:
        for x in range(more.size):
            i = channels * x
            for c in range(channels - 1):
                target[i + c] = _plus(source[i + c], more[x], top)
            target[i + channels - 1] = source[i + channels - 1]


@kernel(
    (BYTES, BYTES, BYTES_OUT, BYTES, INTS, FLOATS, INTS, FLOATS, *(INT,) * 6),
    (WORDS, WORDS, WORDS_OUT, WORDS, INTS, FLOATS, INTS, FLOATS, *(INT,) * 6),
)
def equalise(
    source: Any,
    luma: Any,
    target: Any,
    tables: Any,
    tile_rows: Any,
    row_shares: Any,
    tile_columns: Any,
    column_shares: Any,
    bins: int,
    across: int,
    channels: int,
    luma_channels: int,
    first: int,
    last: int,
) -> None:
    """Add to each colour what the tables of the four nearest tiles, interpolated, add to the luma.

    ``tables`` are rows of ``across`` tables. For each row, and each column, of the picture there are two
    tiles, before and after it, and the share of the second one.
    """
    width = column_shares.size
    line = across * bins
    mixed = np.empty(line if bins <= 256 else 0, np.float32)
    more = np.empty(width, np.int32)
    stride = width * channels
    for y in range(first, last):
        upper = tables[tile_rows[2 * y] * line : (tile_rows[2 * y] + 1) * line]
        lower = tables[tile_rows[2 * y + 1] * line : (tile_rows[2 * y + 1] + 1) * line]
        weight = row_shares[y]
        if bins <= 256:
            _blend(upper, lower, weight, mixed)
        for x in range(width):
            old = np.uint64(luma[np.uint64((y * width + x) * luma_channels)])
            a = np.uint64(tile_columns[2 * x]) * np.uint64(bins) + old
            b = np.uint64(tile_columns[2 * x + 1]) * np.uint64(bins) + old
            if bins <= 256:
                left, right = mixed[a], mixed[b]
            else:
                left, right = np.float32(upper[a]), np.float32(upper[b])
                left += weight * (np.float32(lower[a]) - left)
                right += weight * (np.float32(lower[b]) - right)
            new = left + column_shares[x] * (right - left) + np.float32(0.5)
            more[x] = np.int32(new) - np.int32(old)
        row = slice(y * stride, (y + 1) * stride)
        _add(source[row], more, target[row], channels, np.int32(bins - 1))

"""Kernels that turn a picture: by quarters and mirrored, pixel by pixel, and by any affine map."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import (
    BYTES,
    BYTES_OUT,
    DOUBLES,
    FLOAT,
    FLOATS,
    FLOATS_OUT,
    INT,
    WORDS,
    WORDS_OUT,
    kernel,
)

_TILE = 32


# Numba asks of each signed index whether it counts from the end: so positions are unsigned, and wrap around.


@register_jitable
def _copy(source: Any, target: Any, start: Any, step: Any, at: Any, count: int, channels: int) -> None:
    """Copy ``count`` pixels, ``step`` samples apart, to the samples from ``at`` on."""
    one, two = np.uint64(1), np.uint64(2)
    if channels == 3:
        for _ in range(count):
            target[at] = source[start]
            target[at + one] = source[start + one]
            target[at + two] = source[start + two]
            at += np.uint64(3)
            start += step
    elif channels == 1:
        for _ in range(count):
            target[at] = source[start]
            at += one
            start += step
    else:
        for _ in range(count):
            for c in range(np.uint64(channels)):
                target[at + c] = source[start + c]
            at += np.uint64(channels)
            start += step


_PIXEL = np.uint64(0xFFFFFF)


@register_jitable
def _mirror(row: Any, result: Any) -> None:
    """Write a row of three channels from right to left: of bytes, eight pixels at a time in three words.

    Words are little-endian, as on all machines that Numba compiles for.
    """
    width = row.size // 3
    groups = width // 8 if row.itemsize == 1 else 0
    words = row[: 24 * groups].view(np.uint64)
    mirrored = result[3 * width - 24 * groups :].view(np.uint64)
    one, two = np.uint64(1), np.uint64(2)
    for group in range(groups):
        i, j = np.uint64(3 * group), np.uint64(3 * (groups - 1 - group))
        a, b, c = words[i], words[i + one], words[i + two]
        # The third and the sixth pixel lie across two words, before and after.
        third = a >> np.uint64(48) | (b & np.uint64(0xFF)) << np.uint64(16)
        sixth = b >> np.uint64(56) | (c & np.uint64(0xFFFF)) << np.uint64(8)
        fourth, fifth = b >> np.uint64(8) & _PIXEL, b >> np.uint64(32) & _PIXEL
        mirrored[j] = (
            c >> np.uint64(40) | (c >> np.uint64(16) & _PIXEL) << np.uint64(24) | sixth << np.uint64(48)
        )
        mirrored[j + one] = (
            sixth >> np.uint64(16) | fifth << np.uint64(8) | fourth << np.uint64(32) | third << np.uint64(56)
        )
        mirrored[j + two] = (
            third >> np.uint64(8)
            | (a >> np.uint64(24) & _PIXEL) << np.uint64(16)
            | (a & _PIXEL) << np.uint64(40)
        )
    for x in range(8 * groups, width):
        i, j = np.uint64(3 * x), np.uint64(3 * (width - 1 - x))
        result[j] = row[i]
        result[j + one] = row[i + one]
        result[j + two] = row[i + two]


@kernel((BYTES, BYTES_OUT, INT, INT, INT, INT, INT, INT, INT), (WORDS, WORDS_OUT, *(INT,) * 7))
def turn(
    source: Any,
    target: Any,
    width: int,
    channels: int,
    start: int,
    across: int,
    down: int,
    first: int,
    last: int,
) -> None:
    """Make rows first to last - 1, ``width`` pixels each, from a source that is walked in steps.

    ``start`` is the sample of the first pixel, ``across`` and ``down`` are the steps in the source, in
    samples, for one pixel to the right and down in the result. Squares keep both walks in the cache.
    """
    if channels == 3 and across == -3:
        size = 3 * width
        for y in range(first, last):
            end = start + y * down + 3
            _mirror(source[end - size : end], target[y * size : (y + 1) * size])
        return
    for y0 in range(first, last, _TILE):
        for x0 in range(0, width, _TILE):
            count = min(_TILE, width - x0)
            for y in range(y0, min(y0 + _TILE, last)):
                begin = np.uint64(start + y * down + x0 * across)
                at = np.uint64((y * width + x0) * channels)
                _copy(source, target, begin, np.uint64(across), at, count, channels)


@register_jitable
def _cubic(t: Any) -> Any:
    """Compute the four weights of Keys' cubic convolution with a = -1/2, ``t`` between the middle two."""
    half, one, two = np.float32(0.5), np.float32(1), np.float32(2)
    three, four, five = np.float32(3), np.float32(4), np.float32(5)
    return (
        half * (((two - t) * t - one) * t),
        half * ((three * t - five) * t * t + two),
        half * (((four - three * t) * t + one) * t),
        half * ((t - one) * t * t),
    )


@register_jitable
def _four(source: Any, i: Any, step: Any, weights: Any) -> Any:
    """Sum four samples, ``step`` apart, from ``i`` on."""
    return (
        weights[0] * np.float32(source[i])
        + weights[1] * np.float32(source[i + step])
        + weights[2] * np.float32(source[i + step + step])
        + weights[3] * np.float32(source[i + step + step + step])
    )


@kernel(
    (BYTES, BYTES_OUT, FLOATS, DOUBLES, *(INT,) * 6, FLOAT, FLOAT),
    (FLOATS, FLOATS_OUT, FLOATS, DOUBLES, *(INT,) * 6, FLOAT, FLOAT),
)
def warp(
    source: Any,
    target: Any,
    colour: Any,
    matrix: Any,
    height: int,
    width: int,
    channels: int,
    target_width: int,
    first: int,
    last: int,
    top: float,
    half: float,
) -> None:
    """Make rows first to last - 1 by bicubic interpolation; what lies outside the source has ``colour``.

    ``half`` is added for rounding.

    Pixel x, y of the result is at matrix · (x, y, 1) in the source, both measured at pixels' middles.
    """
    a, b, c, d, e, f = matrix[0], matrix[1], matrix[2], matrix[3], matrix[4], matrix[5]
    step, stride = np.uint64(channels), np.uint64(width * channels)
    most, middle, zero = np.float32(top), np.float32(half), np.float32(0)
    for y in range(first, last):
        at = np.uint64(y * target_width * channels)
        for x in range(target_width):
            u, v = a * x + (b * y + c), d * x + (e * y + f)
            column, row = math.floor(u), math.floor(v)
            right, down = _cubic(np.float32(u - column)), _cubic(np.float32(v - row))
            if 1 <= column < width - 2 and 1 <= row < height - 2:
                i = np.uint64(((row - 1) * width + column - 1) * channels)
                for k in range(step):
                    value = middle
                    value += down[0] * _four(source, i + k, step, right)
                    value += down[1] * _four(source, i + k + stride, step, right)
                    value += down[2] * _four(source, i + k + stride + stride, step, right)
                    value += down[3] * _four(source, i + k + stride + stride + stride, step, right)
                    target[at + k] = max(zero, min(value, most))
            else:
                for k in range(step):
                    value = middle
                    for j in range(4):
                        for n in range(4):
                            above, left = row - 1 + j, column - 1 + n
                            sample = colour[k]
                            if 0 <= above < height and 0 <= left < width:
                                sample = np.float32(source[np.uint64((above * width + left) * channels) + k])
                            value += down[j] * right[n] * sample
                    target[at + k] = max(zero, min(value, most))
            at += step

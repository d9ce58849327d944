"""The twins of the operations in ``vector``, in plain Numba: they define them and can replace them.

Samples of 16 bits are fixed point with 7 bits after the point (8.7), bytes are whole numbers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

LANES = 64
#: Samples that split and spread take at a time: whole pixels, and a size that shuffles well.
BLOCK1, BLOCK3 = 64, 48


def pairs(source: Any, offsets: Any, weights: Any, x: Any, target: Any, at: Any) -> Any:
    """Sum weighted pairs of rows: for 64 values of i, target[at + i] is the sum over k of
    weights[k] * (source[offsets[2k] + x + i] + source[offsets[2k + 1] + x + i]).

    ``weights`` are uint16 in units of 1/131072 and add up to 65536: a pair counts twice. Products are cut to
    16 bits, for which half a unit per tap is added; the sum, 8.8, is rounded to 8.7 or to bytes.
    """
    raise NotImplementedError("Only inside a kernel.")


@overload(pairs)
def _pairs(source: Any, offsets: Any, weights: Any, x: Any, target: Any, at: Any) -> Any:
    up = np.uint32(7 if source.dtype == types.uint8 else 0)
    half, down = (128, np.uint32(8)) if target.dtype == types.uint8 else (1, np.uint32(1))
    kind = np.uint8 if target.dtype == types.uint8 else np.uint16

    def implementation(source: Any, offsets: Any, weights: Any, x: Any, target: Any, at: Any) -> Any:
        start = np.uint32(weights.size // 2 + half)
        for i in range(x, x + LANES):
            total = start
            for k in range(weights.size):
                pair = np.uint32(source[offsets[2 * k] + i]) + np.uint32(source[offsets[2 * k + 1] + i])
                total += ((pair << up) * np.uint32(weights[k])) >> np.uint32(16)
            target[at + i - x] = kind(total >> down)

    return implementation


def _split(channels: Any, count: Any) -> Any:

    def split(source: Any, x: Any, target: Any, even: Any, odd: Any) -> Any:
        raise NotImplementedError("Only inside a kernel.")

    @overload(split)
    def _implement(source: Any, x: Any, target: Any, even: Any, odd: Any) -> Any:
        def implementation(source: Any, x: Any, target: Any, even: Any, odd: Any) -> Any:
            for i in range(count):
                at = x + 2 * i - i % channels
                target[even + i] = source[at]
                target[odd + i] = source[at + channels]

        return implementation

    split.__doc__ = f"The even and the odd ones of {2 * count // channels} pixels from source[x] on, apart."
    return split


def lean(source: Any, near: Any, far: Any, target: Any, at: Any) -> Any:
    """Set target[at + i] = (3 source[near + i] + source[far + i]) / 4 for 64 values of i.

    It is rounded up at each halving.
    """
    raise NotImplementedError("Only inside a kernel.")


@overload(lean)
def _overload_lean(source: Any, near: Any, far: Any, target: Any, at: Any) -> Any:
    def implementation(source: Any, near: Any, far: Any, target: Any, at: Any) -> Any:
        for i in range(LANES):
            target[at + i] = _quarter(source[near + i], source[far + i])

    return implementation


@register_jitable
def _quarter(near: Any, far: Any) -> Any:
    middle = (np.uint32(near) + np.uint32(far) + np.uint32(1)) >> np.uint32(1)
    return np.uint16((np.uint32(near) + middle + np.uint32(1)) >> np.uint32(1))


def _spread(channels: Any, count: Any) -> Any:
    def spread(source: Any, x: Any, target: Any, at: Any) -> Any:
        raise NotImplementedError("Only inside a kernel.")

    @overload(spread)
    def _implement(source: Any, x: Any, target: Any, at: Any) -> Any:
        half, down = (64, np.uint16(7)) if target.dtype == types.uint8 else (0, np.uint16(0))
        kind = np.uint8 if target.dtype == types.uint8 else np.uint16

        def implementation(source: Any, x: Any, target: Any, at: Any) -> Any:
            for i in range(count):
                to = at + 2 * i - i % channels
                here = source[x + i]
                target[to] = kind((_quarter(here, source[x + i - channels]) + half) >> down)
                target[to + channels] = kind((_quarter(here, source[x + i + channels]) + half) >> down)

        return implementation

    spread.__doc__ = (
        f"{count // channels} pixels from source[x] on become twice as many, each leaning to its side."
    )
    return spread


def paeth(source: Any, x: Any, target: Any, above: Any, at: Any, step: Any, pixels: Any) -> Any:
    """Undo PNG's Paeth filter for ``pixels`` of ``step`` bytes, from source[x] on into target[at] and on.

    The row above begins at target[above]; there is a pixel to the left in both. Bytes after the last pixel
    may be overwritten, up to 4 (``paeth4``, for 3 or 4 bytes) or 8 (``paeth8``, for 6 or 8) from its start.
    """
    raise NotImplementedError("Only inside a kernel.")


@overload(paeth)
def _overload_paeth(source: Any, x: Any, target: Any, above: Any, at: Any, step: Any, pixels: Any) -> Any:
    def implementation(source: Any, x: Any, target: Any, above: Any, at: Any, step: Any, pixels: Any) -> Any:
        for i in range(pixels * step):
            a, b, c = target[at + i - step], target[above + i], target[above + i - step]
            target[at + i] = source[x + i] + nearest(a, b, c)

    return implementation


@register_jitable
def nearest(a: Any, b: Any, c: Any) -> Any:
    """Return Paeth's predictor: of left, above and corner, the nearest to left + above - corner."""
    up, across = np.int32(b) - np.int32(c), np.int32(a) - np.int32(c)
    to_a, to_b, to_c = abs(up), abs(across), abs(up + across)
    if to_a <= to_b and to_a <= to_c:
        return a
    return b if to_b <= to_c else c


split1, split3 = _split(1, BLOCK1), _split(3, BLOCK3)
spread1, spread3 = _spread(1, BLOCK1), _spread(3, BLOCK3)
paeth4 = paeth8 = paeth

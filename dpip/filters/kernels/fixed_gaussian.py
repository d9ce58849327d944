"""The Gaussian of bytes in fixed point, by octaves. Each step is a sum of weighted pairs of rows.

A picture is a flat array of rows of ``stride`` samples, of which ``width`` count; 16-bit samples are 8.7
fixed point. The horizontal half of a filter is the vertical one with the row itself, shifted, in place of
other rows.

Wide Gaussians are narrow ones on a smaller picture: halve it L times by [1 3 3 1]/8, filter, double it L
times by [1 3]/4. The two add a variance of (4^L - 1)/2 pixels to that of the filter between them. Burt and
Adelson, "The Laplacian Pyramid as a Compact Image Code" (1983), with the shortest symmetric kernels of even
length.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, INT, WORDS, WORDS_OUT, kernel
from dpip.filters.kernels.lanes import BLOCK1, BLOCK3, LANES, lean, pairs, split1, split3, spread1, spread3

#: [1 3 3 1]/8, as weights for ``lanes.pairs``.
HALVING = np.array([49152, 16384], np.uint16)


@kernel(
    (BYTES, BYTES_OUT, WORDS, INT, INT, INT, INT, INT, INT),
    (WORDS, WORDS_OUT, WORDS, INT, INT, INT, INT, INT, INT),
)
def narrow(
    source: Any,
    target: Any,
    weights: Any,
    height: int,
    width: int,
    stride: int,
    channels: int,
    first: int,
    last: int,
) -> None:
    """Filter rows first to last - 1 by weights from the centre outwards, edges clamped."""
    taps = weights.size
    margin = (taps - 1) * channels
    line = np.empty(margin + stride + margin + LANES, np.uint16)
    down = np.empty(2 * taps, np.int64)
    across = np.empty(2 * taps, np.int64)
    for k in range(taps):
        across[2 * k] = margin - k * channels
        across[2 * k + 1] = margin + k * channels
    for y in range(first, last):
        for k in range(taps):
            down[2 * k] = max(y - k, 0) * stride
            down[2 * k + 1] = min(y + k, height - 1) * stride
        for block in range(0, width, LANES):
            x = min(block, stride - LANES)
            pairs(source, down, weights, x, line, margin + x)
        for i in range(margin):
            line[margin - 1 - i] = line[margin + channels - 1 - i]
            line[margin + width + i] = line[margin + width - channels + i]
        for block in range(0, width, LANES):
            x = min(block, stride - LANES)
            pairs(line, across, weights, x, target, y * stride + x)


@kernel(
    (BYTES, WORDS_OUT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
    (WORDS, WORDS_OUT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
)
def halve(
    source: Any,
    target: Any,
    height: int,
    width: int,
    stride: int,
    border: int,
    channels: int,
    target_width: int,
    target_stride: int,
    first: int,
    last: int,
) -> None:
    """Halve the picture with a border of clamped pixels; makes rows first to last - 1 of the result."""
    line = np.empty(2 * target_width + 4 * LANES, np.uint16)
    start = border * channels
    even = channels
    odd = even + target_width + 2 * LANES
    apart = np.empty(odd + target_width + 2 * LANES, np.uint16)
    across = np.array([even, odd, odd - channels, even + channels])
    down = np.empty(4, np.int64)
    for y in range(first, last):
        for k, row in enumerate((0, 1, -1, 2)):
            down[k] = min(max(2 * y - border + row, 0), height - 1) * stride
        for block in range(0, width, LANES):
            x = min(block, stride - LANES)
            pairs(source, down, HALVING, x, line, start + x)
        for i in range(start - 1, -1, -1):
            line[i] = line[i + channels]
        for i in range(start + width, 2 * target_width):
            line[i] = line[i - channels]
        if channels == 3:
            for x in range(0, target_width, BLOCK3):
                split3(line, 2 * x, apart, even + x, odd + x)
        else:
            for x in range(0, target_width, BLOCK1):
                split1(line, 2 * x, apart, even + x, odd + x)
        for i in range(channels):
            apart[odd - channels + i] = apart[even + i]
            apart[even + target_width + i] = apart[odd + target_width - channels + i]
        for x in range(0, target_width, LANES):
            pairs(apart, across, HALVING, x, target, y * target_stride + x)


@kernel(
    (WORDS, BYTES_OUT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
    (WORDS, WORDS_OUT, INT, INT, INT, INT, INT, INT, INT, INT, INT),
)
def double(
    source: Any,
    target: Any,
    height: int,
    width: int,
    stride: int,
    border: int,
    channels: int,
    target_width: int,
    target_stride: int,
    first: int,
    last: int,
) -> None:
    """Double the picture and cut off the border, an even number of pixels; makes rows first to last - 1."""
    line = np.empty(width + 2 * channels + 2 * LANES, np.uint16)
    start = channels + border // 2 * channels
    spare = np.empty(2 * LANES, target.dtype)
    step = 2 * (BLOCK3 if channels == 3 else BLOCK1)
    for y in range(first, last):
        near = (y + border) // 2
        far = min(max(near + 1 if (y + border) % 2 else near - 1, 0), height - 1)
        for x in range(0, width, LANES):
            lean(source, near * stride + x, far * stride + x, line, channels + x)
        for i in range(channels):
            line[i] = line[channels + i]
            line[channels + width + i] = line[width + i]
        row = y * target_stride
        for x in range(0, target_width, step):
            whole = x + step <= target_stride
            out, at = (target, row + x) if whole else (spare, 0)
            if channels == 3:
                spread3(line, start + x // 2, out, at)
            else:
                spread1(line, start + x // 2, out, at)
            if not whole:
                for i in range(target_stride - x):
                    target[row + x + i] = spare[i]

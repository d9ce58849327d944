"""The kernel that draws one picture, the mark, over another."""

from __future__ import annotations

from typing import Any

import numpy as np
from numba.extending import register_jitable

from dpip.filters.kernels.compile import BYTES_OUT, FLOAT, FLOATS, INT, WORDS_OUT, kernel


@register_jitable
def _over(target: Any, i: Any, mark: Any, j: Any, whole: Any) -> None:
    """Draw on a pixel with one or three colours and no alpha."""
    target[i] = np.int32(mark[j] + whole * np.float32(target[i]) + np.float32(0.5))


@register_jitable
def _over_alpha(target: Any, i: Any, mark: Any, j: Any, colours: Any, most: Any) -> None:
    """Draw on a pixel with alpha: colours count as much as they are seen."""
    alpha, one = np.uint64(i + colours), np.float32(1)
    opacity = mark[j + colours]
    below = np.float32(target[alpha]) / most * (one - opacity)
    together = opacity + below
    for c in range(colours):
        mixed = mark[j + c] + below * np.float32(target[i + c])
        target[i + c] = np.int32(mixed / together + np.float32(0.5))
    target[alpha] = np.int32(together * most + np.float32(0.5))


@kernel((BYTES_OUT, FLOATS, FLOAT, *(INT,) * 8), (WORDS_OUT, FLOATS, FLOAT, *(INT,) * 8))
def draw(
    target: Any,
    mark: Any,
    top: float,
    width: int,
    channels: int,
    mark_height: int,
    mark_width: int,
    left: int,
    right: int,
    first: int,
    last: int,
) -> None:
    """Draw the mark over rows first to last - 1, from column ``left`` to ``right`` - 1, again and again.

    It begins at ``left`` of row 0. Each of its pixels has as many samples as the picture has colours, times
    its opacity, and the opacity itself from 0 to 1.
    """
    one, two = np.uint64(1), np.uint64(2)
    colours = np.uint64(channels if channels % 2 == 1 else channels - 1)
    most, full = np.float32(top), np.float32(1)
    for y in range(first, last):
        line = y % mark_height * mark_width * (int(colours) + 1)
        for x0 in range(left, right, mark_width):
            i, j = np.uint64((y * width + x0) * channels), np.uint64(line)
            for _ in range(min(mark_width, right - x0)):
                opacity = mark[j + colours]
                if opacity > 0:
                    if channels == 3:
                        _over(target, i, mark, j, full - opacity)
                        _over(target, i + one, mark, j + one, full - opacity)
                        _over(target, i + two, mark, j + two, full - opacity)
                    elif channels == 1:
                        _over(target, i, mark, j, full - opacity)
                    else:
                        _over_alpha(target, i, mark, j, colours, most)
                i += np.uint64(channels)
                j += colours + one

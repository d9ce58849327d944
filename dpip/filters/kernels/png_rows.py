"""PNG's row filters (PNG 3rd ed., section 9), forwards and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, INT, kernel


@kernel((BYTES, BYTES_OUT, INT, INT, INT))
def filter_up(pixels: Any, rows: Any, size: Any, first: Any, last: Any) -> None:
    """Rows of ``size`` bytes, each minus the one above, behind its filter byte; the topmost row as it is.

    On film frames "Up" alone compresses as well as a choice per row, and costs a pass at memory speed.
    """
    for y in range(first, last):
        here = pixels[y * size : (y + 1) * size]
        out = rows[y * (size + 1) + 1 : (y + 1) * (size + 1)]
        rows[y * (size + 1)] = 2 if y else 0
        if y:
            above = pixels[(y - 1) * size : y * size]
            for x in range(size):
                out[x] = here[x] - above[x]
        else:
            for x in range(size):
                out[x] = here[x]


@kernel((BYTES, BYTES_OUT, INT, INT, BYTES_OUT))
def unfilter(rows: Any, pixels: Any, size: Any, step: Any, bad: Any) -> None:
    """Undo any of the five filters; ``step``: bytes per pixel. ``bad[0]`` is set where there is a sixth."""
    zeros = np.zeros(size, np.uint8)
    for y in range(pixels.size // size):
        kind = rows[y * (size + 1)]
        source = rows[y * (size + 1) + 1 : (y + 1) * (size + 1)]
        out = pixels[y * size : (y + 1) * size]
        above = pixels[(y - 1) * size : y * size] if y else zeros
        if kind == 0:
            for x in range(size):
                out[x] = source[x]
        elif kind == 1:
            for x in range(step):
                out[x] = source[x]
            for x in range(step, size):
                out[x] = source[x] + out[x - step]
        elif kind == 2:
            for x in range(size):
                out[x] = source[x] + above[x]
        elif kind == 3:
            for x in range(step):
                out[x] = source[x] + (above[x] >> 1)
            for x in range(step, size):
                out[x] = source[x] + np.uint8((np.int32(out[x - step]) + np.int32(above[x])) >> 1)
        elif kind == 4:
            for x in range(step):
                out[x] = source[x] + above[x]
            for x in range(step, size):
                a = np.int32(out[x - step])
                b = np.int32(above[x])
                c = np.int32(above[x - step])
                pa = abs(b - c)
                pb = abs(a - c)
                pc = abs(a + b - c - c)
                nearest = a if pa <= pb and pa <= pc else (b if pb <= pc else c)
                out[x] = source[x] + np.uint8(nearest)
        else:
            bad[0] = 1
            return

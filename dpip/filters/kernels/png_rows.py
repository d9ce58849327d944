"""PNG's row filters (PNG 3rd ed., section 9), and their reverse."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpip.filters.kernels.compile import BYTES, BYTES_OUT, INT, kernel
from dpip.filters.kernels.lanes import nearest, paeth4, paeth8


@kernel((BYTES, BYTES_OUT, INT, INT, INT))
def filter_up(pixels: Any, rows: Any, size: Any, first: Any, last: Any) -> None:
    """Subtract from each row of ``size`` bytes the row above, and write it behind its filter byte.

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
def unfilter(rows: Any, pixels: Any, size: int, step: int, bad: Any) -> None:
    """Undo any of the five filters, for pixels of ``step`` bytes; set ``bad[0]`` for an unknown filter.

    ``pixels`` begins with a row of zeros, the one "above" the first.
    """
    for y in range(1, pixels.size // size):
        x = (y - 1) * (size + 1) + 1
        at = y * size
        above = at - size
        kind = rows[x - 1]
        if kind == 0:
            for i in range(size):
                pixels[at + i] = rows[x + i]
        elif kind == 1:
            for i in range(step):
                pixels[at + i] = rows[x + i]
            for i in range(step, size):
                pixels[at + i] = rows[x + i] + pixels[at + i - step]
        elif kind == 2:
            here = rows[x : x + size]
            up = pixels[above:at]
            out = pixels[at : at + size]
            for i in range(size):
                out[i] = here[i] + up[i]
        elif kind == 3:
            for i in range(step):
                pixels[at + i] = rows[x + i] + (pixels[above + i] >> 1)
            for i in range(step, size):
                mean = (np.int32(pixels[at + i - step]) + np.int32(pixels[above + i])) >> 1
                pixels[at + i] = rows[x + i] + np.uint8(mean)
        elif kind == 4:
            for i in range(step):
                pixels[at + i] = rows[x + i] + pixels[above + i]
            done = step
            inner = size // step - 2  # the last pixel would spill over
            if inner > 0 and 3 <= step <= 4:
                paeth4(rows, x + step, pixels, above + step, at + step, step, inner)
                done += inner * step
            elif inner > 0 and 6 <= step <= 8:
                paeth8(rows, x + step, pixels, above + step, at + step, step, inner)
                done += inner * step
            for i in range(done, size):
                a, b, c = pixels[at + i - step], pixels[above + i], pixels[above + i - step]
                pixels[at + i] = rows[x + i] + nearest(a, b, c)
        else:
            bad[0] = 1
            return

"""Pictures of few colours as numbers of a palette: the results of such originals stay as small."""

from __future__ import annotations

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from dpip.filters.codec.picture import Pixels

_BAND = 1 << 18  # pixels
_GRAYS = ((1, 255), (2, 85), (4, 17))  # bits, and the step from one gray to the next


@attrs.frozen
class Indexed:
    """``numbers``, H x W, of rows of ``table``: N x 3, N x 4 with alpha, or N x 1 for evenly spaced grays.

    ``bits`` hold a number: 1, 2, 4 or 8.
    """

    numbers: npt.NDArray[np.uint8]
    table: npt.NDArray[np.uint8]
    bits: int

    def packed(self) -> npt.NDArray[np.uint8]:
        """Return the numbers with several in a byte, row by row."""
        if self.bits == 8:
            return self.numbers
        each = 8 // self.bits
        height, width = self.numbers.shape
        padded = np.zeros((height, -(-width // each) * each), np.uint8)
        padded[:, :width] = self.numbers
        packed = np.zeros((height, padded.shape[1] // each), np.uint8)
        for place in range(each):
            packed |= padded[:, place::each] << np.uint8(8 - self.bits * (place + 1))
        return packed


def indexed(pixels: Pixels, most: int) -> Indexed | None:
    """Find the colours of 8-bit gray, RGB or RGBA; None if there are more than ``most``, at most 256."""
    if pixels.dtype != np.uint8 or (pixels.ndim == 3 and pixels.shape[2] < 3):
        return None
    found = Image.fromarray(pixels).getcolors(most)
    if found is None:
        return None
    if pixels.ndim == 2:
        return _of_gray(pixels, np.array(sorted(colour for _, colour in found), np.uint8))
    colours = np.array([colour for _, colour in found], np.uint8)
    if colours.shape[1] == 4:  # those with alpha first: the file says the alpha of these alone
        colours = colours[np.argsort(colours[:, 3] == 255, kind="stable")]
    return Indexed(numbers_of(pixels, colours), colours, _bits(len(colours)))


def numbers_of(pixels: Pixels, colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """Return for each pixel, H x W x C, the row of ``colours``, N x C, that is the same: there is one."""
    keys = _keys(colours)
    order = np.argsort(keys)
    numbers = np.empty(pixels.shape[:2], np.uint8)
    rows = max(1, _BAND // pixels.shape[1])
    for first in range(0, len(pixels), rows):  # as numbers all pixels would take eight times as much
        band = _keys(pixels[first : first + rows])
        numbers[first : first + rows] = order[np.searchsorted(keys[order], band)]
    return numbers


def _of_gray(pixels: Pixels, grays: npt.NDArray[np.uint8]) -> Indexed | None:
    """Number the grays if they are evenly spaced; a palette of others would not be gray for a reader."""
    for bits, step in _GRAYS:
        if not (grays % step).any():
            table = np.arange(0, 256, step, dtype=np.uint8)[:, None]
            return Indexed(np.asarray(pixels // step, np.uint8), table, bits)
    return None


def _keys(colours: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint32]:
    weights = np.array([65536, 256, 1, 16777216][: colours.shape[-1]], np.uint32)
    return np.asarray(colours.astype(np.uint32) @ weights)


def _bits(colours: int) -> int:
    return next(bits for bits in (1, 2, 4, 8) if colours <= 1 << bits)

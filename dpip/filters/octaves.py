"""The Gaussian of a picture of bytes: how many octaves, which weights, and the kernels in their order."""

from __future__ import annotations

import math
import threading
from itertools import accumulate, pairwise

import attrs
import numpy as np
import numpy.typing as npt

from dpip.filters.bands import over_rows
from dpip.filters.kernels import fixed_gaussian
from dpip.filters.kernels.lanes import LANES

#: The narrowest Gaussian left for the small picture: below it, the samples stand too far apart for its shape.
_NARROWEST = 2.0


def plan(sigma: float) -> tuple[int, float]:
    """How often to halve the picture, and the sigma that remains there (see ``kernels.fixed_gaussian``)."""
    octaves = 0
    while _remaining(sigma, octaves + 1) >= _NARROWEST**2:
        octaves += 1
    return octaves, math.sqrt(_remaining(sigma, octaves))


def _remaining(sigma: float, octaves: int) -> float:
    return float((sigma**2 - (4**octaves - 1) / 2) / 4**octaves)


def weights(sigma: float) -> npt.NDArray[np.uint16]:
    """From the centre to 3.5 sigma, as pairs that together count 65536; the centre pairs with itself, so it
    counts half. What rounding leaves over goes where it was cut off most."""
    x = np.arange(math.ceil(3.5 * sigma) + 1)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    bell[0] /= 2
    exact = bell / bell.sum() * 65536
    whole = np.floor(exact)
    missing = 65536 - int(whole.sum())
    whole[np.argsort(whole - exact, kind="stable")[:missing]] += 1
    limited: npt.NDArray[np.uint16] = np.minimum(whole, 65535).astype(np.uint16)
    return limited


@attrs.frozen
class _Level:
    """One octave: rows of ``stride`` samples, of which ``width`` count."""

    samples: npt.NDArray[np.uint16] | npt.NDArray[np.uint8]
    height: int
    width: int
    stride: int


def gaussian(array: npt.NDArray[np.uint8], sigma: float, threads: int = 1) -> npt.NDArray[np.uint8]:
    """Blur H x W x C bytes, C = 1 or 3, to within 0.8 of the truth, of which 0.5 are the rounding."""
    height, width, channels = array.shape
    if width * channels < LANES:
        # Clamped edges are what the filter sees anyway, so a narrow picture can be made as wide as the
        # kernels need.
        wide = np.pad(array, ((0, 0), (0, LANES - width), (0, 0)), mode="edge")
        return np.ascontiguousarray(gaussian(wide, sigma, threads)[:, :width])
    result = np.empty(array.shape, np.uint8)
    source = _Level(array.reshape(-1), height, width * channels, width * channels)
    target = attrs.evolve(source, samples=result.reshape(-1))
    octaves, remaining = plan(sigma)
    if octaves == 0:
        _narrow(source, target, sigma, channels, threads)
        return result
    border = 4 << (octaves - 1)
    *levels, blurred = _levels(source, octaves, border, channels)
    for larger, smaller in pairwise([source, *levels]):
        _halve(larger, smaller, border if larger is source else 0, channels, threads)
    _narrow(levels[-1], blurred, remaining, channels, threads)
    for level in reversed(levels[:-1]):  # what was halved is not needed any more: its place takes the result
        _double(blurred, level, 0, channels, threads)
        blurred = level
    _double(blurred, target, border, channels, threads)
    return result


def _levels(source: _Level, octaves: int, border: int, channels: int) -> list[_Level]:
    """Room for the picture at 1/2, 1/4, ..., and for one more of the last.

    The border is two pixels wide at the smallest: beyond it, clamping there is the same as clamping the
    picture.
    """
    whole = 1 << octaves
    rows = -(-(source.height + 2 * border) // whole) * whole
    pixels = -(-(source.width // channels + 2 * border) // whole) * whole
    sizes = [(rows >> octave, (pixels >> octave) * channels) for octave in range(1, octaves + 1)]
    sizes.append(sizes[-1])
    strides = [-(-width // LANES) * LANES for _, width in sizes]
    ends = [0, *accumulate(height * stride for (height, _), stride in zip(sizes, strides, strict=True))]
    room = _scratch.take(ends[-1])
    return [
        _Level(room[start:end], height, width, stride)
        for (height, width), stride, (start, end) in zip(sizes, strides, pairwise(ends), strict=True)
    ]


class _Scratch(threading.local):
    """Memory for the levels that a thread keeps from picture to picture.

    Fresh memory costs a page fault for each 4 KiB: on a virtual machine, as much as the whole blur of a 720p
    picture.
    """

    _KEPT = 24 << 20  # samples: enough for 12 megapixels
    _room = np.empty(0, np.uint16)

    def take(self, samples: int) -> npt.NDArray[np.uint16]:
        if samples > self._KEPT:
            return np.empty(samples, np.uint16)
        if samples > self._room.size:
            self._room = np.empty(samples, np.uint16)
        return self._room[:samples]


_scratch = _Scratch()


def _narrow(source: _Level, target: _Level, sigma: float, channels: int, threads: int) -> None:
    bell = weights(sigma)
    size = (source.height, source.width, source.stride, channels)

    def rows(first: int, last: int) -> None:
        fixed_gaussian.narrow(source.samples, target.samples, bell, *size, first, last)

    over_rows(target.height, threads, rows)


def _halve(source: _Level, target: _Level, border: int, channels: int, threads: int) -> None:
    size = (source.height, source.width, source.stride, border, channels, target.width, target.stride)

    def rows(first: int, last: int) -> None:
        fixed_gaussian.halve(source.samples, target.samples, *size, first, last)

    over_rows(target.height, threads, rows)


def _double(source: _Level, target: _Level, border: int, channels: int, threads: int) -> None:
    size = (source.height, source.width, source.stride, border, channels, target.width, target.stride)

    def rows(first: int, last: int) -> None:
        fixed_gaussian.double(source.samples, target.samples, *size, first, last)

    over_rows(target.height, threads, rows)

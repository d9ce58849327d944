"""The Gaussian of a picture of bytes: the number of octaves, the weights, and the kernels in their order."""

from __future__ import annotations

import math
import threading
from itertools import accumulate, pairwise
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from dpip.filters.bands import over_rows
from dpip.filters.kernels import fixed_gaussian
from dpip.filters.kernels.lanes import LANES

#: Sigma on the smallest picture is at least this: below it, the samples are too far apart for the curve.
_NARROWEST = 2.0


def plan(sigma: float) -> tuple[int, float]:
    """Return how often to halve the picture, and the sigma for it then (see ``kernels.fixed_gaussian``)."""
    octaves = 0
    while _remaining(sigma, octaves + 1) >= _NARROWEST**2:
        octaves += 1
    return octaves, math.sqrt(_remaining(sigma, octaves))


def _remaining(sigma: float, octaves: int) -> float:
    return float((sigma**2 - (4**octaves - 1) / 2) / 4**octaves)


def weights(sigma: float) -> npt.NDArray[np.uint16]:
    """Return the weights from the centre to 3.5 sigma, uint16 with the sum 65536.

    Each weighs a pair of samples; the centre pairs with itself, so its weight is halved. What rounding down
    loses is given back to the weights that lost most.
    """
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
    """A picture at one octave: ``height`` rows of ``stride`` samples, of which the first ``width`` count."""

    samples: npt.NDArray[np.uint16] | npt.NDArray[np.uint8]
    height: int
    width: int
    stride: int


def gaussian(array: npt.NDArray[np.uint8], sigma: float, threads: int = 1) -> npt.NDArray[np.uint8]:
    """Blur H x W x C bytes, C = 1 or 3, with an error of at most 0.8, of which 0.5 are the rounding."""
    height, width, channels = array.shape
    if width * channels < LANES:
        # The kernels need a certain width; the filter clamps edges anyway, so repeating them changes nothing.
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
        first = border if larger is source else 0
        _resample(fixed_gaussian.halve, larger, smaller, first, channels, threads)
    _narrow(levels[-1], blurred, remaining, channels, threads)
    for level in reversed(
        levels[:-1]
    ):  # the halved picture is not needed any more: its memory takes the result
        _resample(fixed_gaussian.double, blurred, level, 0, channels, threads)
        blurred = level
    _resample(fixed_gaussian.double, blurred, target, border, channels, threads)
    return result


def _levels(source: _Level, octaves: int, border: int, channels: int) -> list[_Level]:
    """Return memory for the picture at 1/2, 1/4, ..., and for a second one of the smallest size.

    The border is two pixels wide at the smallest size: from there on, clamping equals clamping the picture.
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
    """Memory for the levels, which a thread keeps from picture to picture.

    Fresh memory costs a page fault per 4 KiB: on a virtual machine, that is as much as the whole blur of a
    720p picture.
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
    arguments = (source.samples, target.samples, bell, source.height, source.width, source.stride, channels)
    over_rows(target.height, threads, lambda first, last: fixed_gaussian.narrow(*arguments, first, last))


def _resample(kernel: Any, source: _Level, target: _Level, border: int, channels: int, threads: int) -> None:
    size = (source.height, source.width, source.stride, border, channels, target.width, target.stride)
    over_rows(target.height, threads, lambda a, b: kernel(source.samples, target.samples, *size, a, b))

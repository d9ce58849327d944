"""The Gaussian on a GPU: the passes of ``dpip.filters.octaves`` and ``kernels.float_gaussian``."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from dpip.filters import octaves
from dpip.filters.cuda import kernels
from dpip.filters.cuda.kernels import cuda
from dpip.filters.kernels import float_gaussian

#: How 8.8 and 8.7 fixed point are rounded: the number that is added, and the bits of the shift.
_TO_WORDS, _TO_BYTES = (1, 1), (128, 8)
_WORDS_KEPT, _WORDS_TO_BYTES = (0, 0), (64, 7)


@attrs.frozen
class _Plane:
    """A picture on the GPU: height x width x channels samples, flat, uint8 or (8.7 fixed point) uint16."""

    samples: Any
    height: int
    width: int

    @property
    def up(self) -> int:
        """The bits by which its samples are shifted to become 8.7 fixed point."""
        return 7 if self.samples.dtype == np.uint8 else 0


def fixed(array: npt.NDArray[np.uint8], sigma: float, threads: int = 1) -> npt.NDArray[np.uint8]:
    """Do what ``octaves.gaussian`` does with H x W x C bytes, C = 1 or 3; ``threads`` means nothing here."""
    height, width, channels = array.shape
    count, remaining = octaves.plan(sigma)
    bell = cuda.to_device(octaves.weights(remaining).astype(np.int64))
    source = _Plane(cuda.to_device(array.reshape(-1)), height, width)
    if count == 0:
        return _fetched(_narrow(source, bell, channels, np.uint8), array.shape)
    border = 4 << (count - 1)
    whole = 1 << count
    rows = -(-(height + 2 * border) // whole) * whole
    columns = -(-(width + 2 * border) // whole) * whole
    sizes = [(height, width), *((rows >> octave, columns >> octave) for octave in range(1, count + 1))]
    plane = _halve(source, *sizes[1], border, channels)
    for size in sizes[2:]:
        plane = _halve(plane, *size, 0, channels)
    plane = _narrow(plane, bell, channels, np.uint16)
    for octave in reversed(range(count)):
        plane = _double(plane, *sizes[octave], 0 if octave else border, channels)
    return _fetched(plane, array.shape)


def floating(array: npt.NDArray[np.float32], sigma: float, threads: int = 1) -> npt.NDArray[np.float32]:
    """Do what ``float_gaussian.gaussian`` does with H x W x C float32; ``threads`` means nothing here."""
    height, width, channels = array.shape
    bell = cuda.to_device(float_gaussian.weights(sigma))
    source = cuda.to_device(np.ascontiguousarray(array).reshape(-1))
    down, across = cuda.device_array(array.size, np.float32), cuda.device_array(array.size, np.float32)
    kernels.launch(kernels.floating, down, source, bell, height, width * channels)
    kernels.launch(kernels.floating, across, down, bell, width, channels)
    return _fetched(_Plane(across, height, width), array.shape)


def _fetched(plane: _Plane, shape: tuple[int, ...]) -> npt.NDArray[Any]:
    result: npt.NDArray[Any] = plane.samples.copy_to_host().reshape(shape)
    return result


def _narrow(plane: _Plane, bell: Any, channels: int, dtype: npt.DTypeLike) -> _Plane:
    rounding = _TO_BYTES if dtype == np.uint8 else _TO_WORDS
    down = cuda.device_array(plane.samples.size, np.uint16)
    across = cuda.device_array(plane.samples.size, dtype)
    row = plane.width * channels
    kernels.launch(kernels.narrow, down, plane.samples, bell, plane.height, row, plane.up, *_TO_WORDS)
    kernels.launch(kernels.narrow, across, down, bell, plane.width, channels, 0, *rounding)
    return attrs.evolve(plane, samples=across)


def _halve(plane: _Plane, height: int, width: int, border: int, channels: int) -> _Plane:
    row = plane.width * channels
    down = cuda.device_array(height * row, np.uint16)
    across = cuda.device_array(height * width * channels, np.uint16)
    kernels.launch(kernels.halve, down, plane.samples, plane.height, height, row, border, plane.up)
    kernels.launch(kernels.halve, across, down, plane.width, width, channels, border, 0)
    return _Plane(across, height, width)


def _double(plane: _Plane, height: int, width: int, border: int, channels: int) -> _Plane:
    """Double the picture; with a border it is the last time, and the result is bytes."""
    dtype, rounding = (np.uint8, _WORDS_TO_BYTES) if border else (np.uint16, _WORDS_KEPT)
    row = plane.width * channels
    down = cuda.device_array(height * row, np.uint16)
    across = cuda.device_array(height * width * channels, dtype)
    kernels.launch(kernels.double, down, plane.samples, plane.height, height, row, border, *_WORDS_KEPT)
    kernels.launch(kernels.double, across, down, plane.width, width, channels, border, *rounding)
    return _Plane(across, height, width)

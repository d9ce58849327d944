"""Pictures to test with, and references computed in another way."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

Array = npt.NDArray[Any]


def natural(height: int, width: int, channels: int = 3, seed: int = 1) -> Array:
    """Soft gradients, hard edges and a little noise, as in a photograph; uint8, H x W x C."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width]
    planes = []
    for channel in range(channels):
        wave = 90 * np.sin(x / (9 + 7 * channel) + channel) * np.cos(y / (13 - 2 * channel))
        disc = 60.0 * ((x - width / 2) ** 2 + (y - height / 3) ** 2 < (min(height, width) / 4) ** 2)
        planes.append(120 + wave + disc + rng.normal(0, 3, (height, width)))
    return np.clip(np.stack(planes, axis=2), 0, 255).astype(np.uint8)


def noise(height: int, width: int, channels: int = 3, seed: int = 2) -> Array:
    """Black and white at random in every channel: the worst case for fixed point."""
    rng = np.random.default_rng(seed)
    return (rng.integers(0, 2, (height, width, channels)) * 255).astype(np.uint8)


def stripes(height: int, width: int, period: int = 2) -> Array:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[:, np.arange(width) % period < period / 2] = 255
    return picture


def one_white(height: int, width: int) -> Array:
    picture = np.zeros((height, width, 3), np.uint8)
    picture[height // 2, width // 2] = 255
    return picture


def saved(array: Array, format: str, mode: str | None = None, **options: Any) -> bytes:
    """The array as a file written by Pillow, in another mode where one is given."""
    image = Image.fromarray(array)
    out = io.BytesIO()
    (image.convert(mode) if mode else image).save(out, format, **options)
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def gaussian(array: Array, sigma: float) -> npt.NDArray[np.float64]:
    """The Gaussian in float64 to 6 sigma with clamped edges, along both axes: the reference."""
    radius = int(np.ceil(6 * sigma))
    x = np.arange(-radius, radius + 1)
    bell = np.exp(-0.5 * (x / sigma) ** 2)
    bell /= bell.sum()
    result = array.astype(np.float64)
    for axis in (0, 1):
        result = _along(result, bell, axis)
    return result


def _along(
    array: npt.NDArray[np.float64], bell: npt.NDArray[np.float64], axis: int
) -> npt.NDArray[np.float64]:
    """Convolution with clamped edges as a matrix: what lies outside counts for the edge pixel."""
    length = array.shape[axis]
    radius = len(bell) // 2
    matrix = np.zeros((length, length))
    rows = np.arange(length)
    for offset, weight in zip(range(-radius, radius + 1), bell, strict=True):
        np.add.at(matrix, (rows, np.clip(rows + offset, 0, length - 1)), weight)
    return np.moveaxis(np.tensordot(matrix, array, axes=(1, axis)), 0, axis)

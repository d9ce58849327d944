"""Lanczos resampling of any picture, with Pillow's code."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from dpip.filters.alpha import divided, has_alpha, is_opaque, rounded, weighted
from dpip.filters.floating import smoothed, with_alpha_of
from dpip.filters.schema import Pixels

Box = tuple[float, float, float, float]


def resample(array: Pixels, width: int, height: int, box: Box | None = None, linear: bool = False) -> Pixels:
    """Scale the part ``box`` (left, top, right, bottom) of the picture, by default all, to width x height."""
    if array.dtype.kind == "f":
        return _of_floats(array, width, height, box, linear)
    if array.dtype == np.uint8 and not linear and not has_alpha(array):
        return np.asarray(Image.fromarray(array).resize((width, height), Image.Resampling.LANCZOS, box))
    planes = array if array.ndim == 3 else array[..., None]
    transparent = not is_opaque(array)
    top = float(np.iinfo(array.dtype).max)
    light = planes.astype(np.float32)
    colours = planes.shape[2] - has_alpha(array)
    if linear:
        light[..., :colours] = to_light(light[..., :colours] / top) * top
    if transparent:
        light = weighted(light, np.float32)
    scaled = _planes(light, width, height, box)
    result = _finished(scaled, array.dtype, top, colours, transparent, linear)
    return result if array.ndim == 3 else result[..., 0]


def _of_floats(array: Pixels, width: int, height: int, box: Box | None, linear: bool) -> Pixels:
    """Resample floating point; ``linear`` averages light, and values beyond 0 and 1 are not cut off."""
    if not linear:
        return smoothed(array, lambda planes: _planes(planes, width, height, box))
    light = with_alpha_of(np.copysign(to_light(np.abs(array)), array).astype(array.dtype), array)
    result = smoothed(light, lambda planes: _planes(planes, width, height, box))
    shown = np.copysign(from_light(np.abs(result)), result).astype(array.dtype)
    return with_alpha_of(shown, result)


def _planes(
    light: npt.NDArray[np.float32], width: int, height: int, box: Box | None
) -> npt.NDArray[np.float32]:
    return np.stack([_plane(light[..., c], width, height, box) for c in range(light.shape[2])], axis=2)


def _plane(
    samples: npt.NDArray[np.float32], width: int, height: int, box: Box | None
) -> npt.NDArray[np.float32]:
    image = Image.fromarray(np.ascontiguousarray(samples))
    return np.asarray(image.resize((width, height), Image.Resampling.LANCZOS, box))


def _finished(
    scaled: npt.NDArray[np.float32],
    dtype: npt.DTypeLike,
    top: float,
    colours: int,
    transparent: bool,
    linear: bool,
) -> Pixels:
    if not linear:
        return divided(scaled, dtype) if transparent else rounded(scaled, dtype)
    if transparent:
        alpha = np.maximum(scaled[..., -1:], 0.5)
        scaled[..., :colours] /= alpha
    scaled[..., :colours] = from_light(np.clip(scaled[..., :colours] / top, 0, 1)) * top
    return rounded(scaled, dtype)


def to_light(value: Any) -> Any:
    """Turn sRGB values from 0 to 1 into linear light (IEC 61966-2-1)."""
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)


def from_light(value: Any) -> Any:
    """Turn linear light from 0 to 1 into sRGB values."""
    return np.where(value <= 0.0031308, value * 12.92, 1.055 * value ** (1 / 2.4) - 0.055)

"""Turning a picture of any kind: it chooses the kernel and handles alpha."""

from __future__ import annotations

import math

import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters.alpha import channel_count, divided, is_opaque, rounded, weighted
from dpip.filters.background import prepared
from dpip.filters.bands import over_rows
from dpip.filters.kernels import turning
from dpip.filters.schema import Pixels


def quarter(array: Pixels, quarters: int, threads: int = 1) -> Pixels:
    """Turn clockwise by that many quarters; no pixel changes."""
    transpose, mirror, upend = ((0, 0, 0), (1, 1, 0), (0, 1, 1), (1, 0, 1))[quarters % 4]
    return turned(array, transpose, mirror, upend, threads)


def turned(array: Pixels, transpose: int, mirror: int, upend: int, threads: int = 1) -> Pixels:
    """Exchange rows and columns, then left and right, then top and bottom, where the numbers are not 0."""
    if not transpose and not mirror:
        return array[::-1].copy() if upend else array.copy()
    height, width = array.shape[:2]
    if array.dtype.kind == "f":  # rare, so it has no kernel
        moved = array.swapaxes(0, 1) if transpose else array
        return moved[:: -1 if upend else 1, :: -1 if mirror else 1].copy()
    channels = channel_count(array)
    across, down = (width * channels, channels) if transpose else (channels, width * channels)
    if transpose:
        height, width = width, height
    start = 0
    if mirror:
        start, across = start + (width - 1) * across, -across
    if upend:
        start, down = start + (height - 1) * down, -down
    result = np.empty((height, width, *array.shape[2:]), array.dtype)
    source, target = array.reshape(-1), result.reshape(-1)
    over_rows(
        height, threads, lambda a, b: turning.turn(source, target, width, channels, start, across, down, a, b)
    )
    return result


def rotated(array: Pixels, angle: float, expand: bool, background: str, threads: int = 1) -> Pixels:
    """Turn clockwise by any angle in degrees, around the middle.

    Raises UnsupportedPicture for floating point.
    """
    if array.dtype.kind == "f":
        raise UnsupportedPicture("Pictures of floating point or 32-bit numbers are turned by quarters only.")
    cosine, sine = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    height, width = array.shape[:2]
    new_height, new_width = height, width
    if expand:
        new_width = math.ceil(abs(width * cosine) + abs(height * sine) - 1e-6)
        new_height = math.ceil(abs(width * sine) + abs(height * cosine) - 1e-6)
    x, y = (new_width - 1) / 2, (new_height - 1) / 2
    matrix = np.array(
        (
            *(cosine, sine, (width - 1) / 2 - cosine * x - sine * y),
            *(-sine, cosine, (height - 1) / 2 + sine * x - cosine * y),
        )
    )
    planes, colour = prepared(array, background)
    result = _warped(planes, colour, matrix, new_height, new_width, threads)
    return result if result.shape[2] > 1 else result[..., 0]


def _warped(planes: Pixels, colour: Pixels, matrix: Pixels, height: int, width: int, threads: int) -> Pixels:
    channels = planes.shape[2]
    mixes = channels in (2, 4) and not (is_opaque(planes) and is_opaque(colour[None, None]))
    exact = planes.dtype == np.uint8 and not mixes
    samples = planes if exact else weighted(planes, np.float32) if mixes else planes.astype(np.float32)
    outside = weighted(colour[None], np.float32)[0] if mixes else colour.astype(np.float32)
    # The curve overshoots in colour and alpha alike; so with alpha, clipping waits for the division.
    top = math.inf if mixes else float(np.iinfo(planes.dtype).max)
    result = np.empty((height, width, channels), samples.dtype)
    old_height, old_width = planes.shape[:2]
    sizes = (old_height, old_width, channels, width)
    source, target = samples.reshape(-1), result.reshape(-1)
    over_rows(
        height,
        threads,
        lambda a, b: turning.warp(source, target, outside, matrix, *sizes, a, b, top, 0.5 if exact else 0.0),
    )
    if exact:
        return result
    return divided(result, planes.dtype) if mixes else rounded(result, planes.dtype)

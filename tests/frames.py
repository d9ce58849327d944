"""Frames of a film made on the spot: every one different, cheap to make, and not trivial to compress."""

from __future__ import annotations

from functools import cache
from io import BytesIO

import numpy as np
from PIL import Image


@cache
def _texture(width: int, height: int) -> np.ndarray:
    random = np.random.default_rng(7)
    coarse = random.integers(0, 255, (height // 16 + 2, width // 16 + 2, 3), dtype=np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    return np.asarray(picture).astype(np.int16) + random.integers(-2, 3, (height, width, 3), dtype=np.int16)


def pixels(number: int, width: int = 1280, height: int = 720) -> np.ndarray:
    """Frame ``number`` as uint8, H×W×3: a texture that drifts, and a bright square that tells the number."""
    picture = np.clip(np.roll(_texture(width, height), (number * 3, number * 5), (0, 1)), 0, 255)
    side = max(1, width // 20)
    left = number * side // 2 % max(1, width - side)
    picture[:side, left : left + side] = (255, number % 256, number // 256)
    return picture.astype(np.uint8)


@cache
def encoded(number: int, width: int = 1280, height: int = 720, format: str = "PNG") -> bytes:
    """Frame ``number`` as a file."""
    file = BytesIO()
    options = {"PNG": {"compress_level": 1}, "JPEG": {"quality": 90}}.get(format, {})
    Image.fromarray(pixels(number, width, height)).save(file, format, **options)
    return file.getvalue()

"""Pictures for pictures of the page: landscapes that nobody has seen, one for each seed."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
from PIL import Image

SKIES = (
    ((38, 60, 110), (244, 182, 140)),
    ((60, 120, 190), (214, 232, 240)),
    ((30, 34, 70), (214, 110, 120)),
    ((90, 140, 170), (250, 226, 180)),
)
HILLS = ((70, 110, 104), (96, 90, 120), (60, 96, 72), (120, 92, 80))


def landscape(seed: int, width: int = 900, height: int = 600, quality: int = 88) -> bytes:
    """A JPEG: a sky with a sun, ranges of hills that fade with their distance, and grain as of film."""
    random = np.random.default_rng(seed)
    top, bottom = (np.array(colour, float) for colour in SKIES[seed % len(SKIES)])
    down = np.linspace(0, 1, height)[:, None, None]
    picture = np.repeat(top + (bottom - top) * down**0.8, width, axis=1)
    _sun(picture, random)
    for distance in np.linspace(1, 0, 5):
        _range(picture, random, distance, np.array(HILLS[seed // 4 % len(HILLS)], float), bottom)
    picture += random.normal(0, 3, picture.shape)
    file = BytesIO()
    Image.fromarray(picture.clip(0, 255).astype(np.uint8)).save(file, "JPEG", quality=quality)
    return file.getvalue()


def _sun(picture: Any, random: Any) -> None:
    height, width, _ = picture.shape
    y, x = np.ogrid[:height, :width]
    away = np.hypot(x - width * random.uniform(0.2, 0.8), y - height * random.uniform(0.15, 0.4)) / height
    disc = 1 / (1 + np.exp((away - 0.06) * 400))
    glow = np.exp(-away * 5) * 0.5
    picture += ((disc + glow)[..., None]) * (np.array((255, 236, 196.0)) - picture)


def _range(picture: Any, random: Any, distance: float, near: Any, haze: Any) -> None:
    """Everything below a ridge, which is a sum of waves, is hill."""
    height, width, _ = picture.shape
    x = np.linspace(0, 1, width)
    ridge = np.full(width, 0.92 - 0.42 * distance)
    for octave in range(1, 9):
        size = 0.09 * (0.5 + distance / 2) / octave**1.1
        ridge += size * np.sin(2 * np.pi * (x * octave * random.uniform(0.6, 1.6) + random.uniform()))
    below = np.arange(height)[:, None] / height >= ridge
    colour = near * (0.35 + 0.4 * distance) * (1 - distance * 0.75) + haze * distance * 0.75
    picture[below] = colour

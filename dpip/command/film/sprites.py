"""Small things that move: the ball, its shadow, clouds. Drawn too large and reduced, for smooth edges."""

from __future__ import annotations

from functools import cache

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

_FINE = 3
_STRIPES = ((226, 54, 58), (252, 248, 240), (247, 182, 38), (252, 248, 240), (38, 108, 196), (252, 248, 240))


@cache
def disc(size: int) -> Image.Image:
    """A round mask."""
    mask = Image.new("L", (size * _FINE, size * _FINE))
    ImageDraw.Draw(mask).ellipse((0, 0, size * _FINE - 1, size * _FINE - 1), fill=255)
    return mask.resize((size, size), Image.Resampling.LANCZOS)


@cache
def ball(size: int) -> Image.Image:
    """A beach ball, RGB; :func:`disc` is its shape."""
    large = size * _FINE
    picture = Image.new("RGB", (large, large))
    draw = ImageDraw.Draw(picture)
    turn = 360 / len(_STRIPES)
    for number, color in enumerate(_STRIPES):
        draw.pieslice((-large, -large, 2 * large, 2 * large), number * turn, (number + 1) * turn, fill=color)
    hub = large // 9
    draw.ellipse(
        (large // 2 - hub, large // 2 - hub, large // 2 + hub, large // 2 + hub), fill=(250, 250, 246)
    )
    return picture.resize((size, size), Image.Resampling.LANCZOS)


@cache
def roundness(size: int) -> tuple[Image.Image, Image.Image]:
    """Masks of a ball's shade, at its lower right, and gleam, at its upper left: they do not turn with it."""
    down, across = np.mgrid[0:size, 0:size].astype(np.float32) / size
    away = np.hypot(across - 0.36, down - 0.30)
    shade = np.clip((away - 0.30) * 330, 0, 150).astype(np.uint8)
    gleam = np.clip(210 - away * 1150, 0, 210).astype(np.uint8)
    return Image.fromarray(shade), Image.fromarray(gleam)


@cache
def shadow(size: int) -> Image.Image:
    """The mask of what a ball of this size throws on the grass."""
    mask = Image.new("L", (size + 40, 34))
    ImageDraw.Draw(mask).ellipse((14, 9, size + 26, 25), fill=130)
    return mask.filter(ImageFilter.GaussianBlur(4))


@cache
def cloud(width: int, seed: int) -> Image.Image:
    """A mask: puffs side by side, level below."""
    random = np.random.default_rng(seed)
    floor = width * 2 // 5
    mask = Image.new("L", (width, floor + width // 20))
    draw = ImageDraw.Draw(mask)
    for place in np.linspace(0.2, 0.8, 7):
        radius = (0.08 + 0.11 * (1 - abs(place - 0.5) * 2) * random.uniform(0.5, 1)) * width
        x, y = place * width, floor - radius * random.uniform(0.7, 1.0)
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=235)
    draw.rectangle((0, floor, width, mask.height), fill=0)
    return mask.filter(ImageFilter.GaussianBlur(width / 70))

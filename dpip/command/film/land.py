"""The valley: mountains, hills, a house, trees and grass. It stands still, so it is painted once."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw

Floats = npt.NDArray[np.float32]
Color = tuple[int, int, int]

_FINE = 2


def meadow(x: float) -> float:
    """Where the foremost hill begins, in pixels from the top."""
    return 560 + 26 * math.sin(x / 210) + 12 * math.sin(x / 83 + 1)


def paint_land(width: int, height: int) -> Image.Image:
    """RGBA; transparent where the sky is."""
    picture = Image.new("RGBA", (width * _FINE, height * _FINE))
    draw = ImageDraw.Draw(picture)
    x = np.arange(0, width + 4, 4, dtype=np.float32)
    random = np.random.default_rng(11)
    _hill(draw, x, _ridge(x, random, 330, 95), height, (138, 150, 196))
    _hill(draw, x, _ridge(x, random, 400, 70), height, (104, 126, 168))
    _hill(draw, x, 470 + 30 * np.sin(x / 170 + 2) + 10 * np.sin(x / 61), height, (92, 148, 104))
    _house(draw, 905, 452)
    _trees(draw, random)
    _hill(draw, x, np.array([meadow(float(at)) for at in x], np.float32), height, (70, 138, 62))
    _grass(draw, random, width, height)
    return picture.resize((width, height), Image.Resampling.LANCZOS)


def _ridge(x: Floats, random: np.random.Generator, base: float, rise: float) -> Floats:
    """A rugged line: octaves of straight segments."""
    line = np.full_like(x, base)
    for octave in range(6):
        knots = np.linspace(x[0], x[-1], 5 * 2**octave)
        line += np.interp(x, knots, random.uniform(-rise, rise, len(knots)) / 1.9**octave).astype(np.float32)
    return line


def _hill(draw: ImageDraw.ImageDraw, x: Floats, top: Floats, height: int, color: Color) -> None:
    outline = [(float(a) * _FINE, float(b) * _FINE) for a, b in zip(x, top, strict=True)]
    draw.polygon([*outline, (outline[-1][0], height * _FINE), (0, height * _FINE)], fill=color)


def _house(draw: ImageDraw.ImageDraw, x: int, y: int) -> None:
    def box(left: int, top: int, right: int, bottom: int, color: Color) -> None:
        corners = (x + left, y + top, x + right, y + bottom)
        draw.rectangle([corner * _FINE for corner in corners], fill=color)

    box(0, 0, 120, 66, (244, 226, 196))
    box(84, -64, 100, -20, (150, 82, 66))
    roof = [(x - 14, y), (x + 60, y - 56), (x + 134, y)]
    draw.polygon([(a * _FINE, b * _FINE) for a, b in roof], fill=(186, 62, 52))
    box(50, 24, 72, 66, (116, 72, 48))
    for left in (12, 86):
        box(left, 16, left + 24, 42, (250, 250, 250))
        box(left + 2, 18, left + 11, 40, (92, 150, 200))
        box(left + 13, 18, left + 22, 40, (92, 150, 200))


def _trees(draw: ImageDraw.ImageDraw, random: np.random.Generator) -> None:
    for x in (*range(60, 700, 47), *range(1080, 1290, 41)):
        top = 470 + 30 * np.sin(x / 170 + 2) - random.uniform(46, 92)
        shade = int(random.integers(-14, 14))
        for floor in range(3):
            half, y = 16 + 7 * floor, top + 22 * floor
            corners = [(x, y), (x - half, y + 40), (x + half, y + 40)]
            fill = (34 + shade, 92 + shade + 8 * floor, 62 + shade)
            draw.polygon([(a * _FINE, float(b) * _FINE) for a, b in corners], fill=fill)
        draw.rectangle(
            [x * _FINE - 8, (top + 84) * _FINE, x * _FINE + 8, (top + 104) * _FINE], fill=(96, 66, 48)
        )


def _grass(draw: ImageDraw.ImageDraw, random: np.random.Generator, width: int, height: int) -> None:
    """Blades and flowers: fine detail, so that a blur shows."""
    for _ in range(9000):
        x, near = random.uniform(0, width), random.uniform(0, 1) ** 1.3
        foot = meadow(x) + near * (height + 20 - 540)
        blade, lean = 6 + 16 * near, random.uniform(-5, 5)
        tone = random.integers(-26, 34)
        color = (int(66 + tone + 20 * near), int(140 + tone), int(52 + tone / 2))
        draw.line(
            [x * _FINE, foot * _FINE, (x + lean) * _FINE, (foot - blade) * _FINE], fill=color, width=_FINE + 1
        )
    for _ in range(170):
        x, near = random.uniform(0, width), random.uniform(0.06, 1)
        y, size = meadow(x) + near * (height - 540), 1.5 + 3.2 * near
        color = ((250, 84, 92), (255, 214, 60), (250, 250, 250), (196, 112, 226))[int(random.integers(4))]
        draw.ellipse(
            [(x - size) * _FINE, (y - size) * _FINE, (x + size) * _FINE, (y + size) * _FINE], fill=color
        )

"""The film that ``dpip demo`` filters: a day passes over a valley while a ball rolls through it."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import numpy as np
import numpy.typing as npt
from attrs import define, field
from PIL import Image, ImageDraw

WIDTH, HEIGHT = 1280, 720
_FINE: Final = 2  # shapes are drawn larger by this factor, and reduced, for smooth edges
_COARSE: Final = 8  # the sky is smooth: it is computed smaller by this factor, and enlarged
_BALL: Final = 128
_ACROSS: Final = np.arange(0, WIDTH + 4, 4)
Array: TypeAlias = npt.NDArray[Any]
Color: TypeAlias = tuple[int, int, int]

# Colours at sunrise and sunset, and at noon: the sky at the top and at the horizon, the light on the land.
_DUSK = np.array([(52, 44, 98), (255, 146, 92), (158, 118, 132)])
_NOON = np.array([(44, 118, 214), (188, 226, 248), (255, 255, 250)])
_STRIPES = ((226, 54, 58), (252, 248, 240), (247, 182, 38), (252, 248, 240), (38, 108, 196), (252, 248, 240))
_FLOWERS = ((250, 84, 92), (255, 214, 60), (250, 250, 250), (196, 112, 226))


@define
class DemoFilm:
    """A film of ``length`` frames of WIDTH×HEIGHT pixels, from sunrise to sunset. It is thread-safe."""

    length: int
    _land: Image.Image = field(factory=lambda: _paint_land(), init=False)

    def frame(self, number: int) -> Image.Image:
        """Draw the frame ``number`` as RGB."""
        hour = (number + 0.5) / self.length
        top, horizon, light = _DUSK + (_NOON - _DUSK) * math.sin(math.pi * hour)
        picture = _paint_sky(top, horizon, hour)
        land = self._land.copy()
        x = (WIDTH + 2 * _BALL) * hour - _BALL
        ball = _paint_ball(math.degrees(2 * x / _BALL))  # it turns as far as it goes
        land.paste(ball, (int(x) - _BALL // 2, int(_meadow(x)) + 84 - _BALL), ball)
        lit = [level * part // 255 for part in (*light.astype(int), 255) for level in range(256)]
        picture.paste(land.point(lit), mask=land)
        return picture


def _paint_sky(top: Array, horizon: Array, hour: float) -> Image.Image:
    """Draw a gradient, and the sun with a glow around it."""
    down, across = np.mgrid[0:HEIGHT:_COARSE, 0:WIDTH:_COARSE]
    x, y = 90 + (WIDTH - 180) * hour, 440 - 345 * math.sin(math.pi * hour)
    sky = top + (horizon - top) * np.minimum(down / 475, 1)[..., None] ** 1.4
    glow = np.exp(-np.hypot(across - x, down - y) / 150)[..., None] * (190, 172, 128)
    small = np.clip(sky + glow * (1 - sky / 300), 0, 255).astype(np.uint8)
    picture = Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR)
    ImageDraw.Draw(picture).circle((x, y), 52, (255, 246, 206))
    return picture


def _paint_ball(turn: float) -> Image.Image:
    """Draw a beach ball, turned by ``turn`` degrees, as RGBA; the light comes from the upper left."""
    large = _BALL * _FINE
    ball = Image.new("RGBA", (large, large))
    draw = ImageDraw.Draw(ball)
    for number, color in enumerate(_STRIPES):
        draw.pieslice((0, 0, large - 1, large - 1), turn + 60 * number, turn + 60 * (number + 1), color)
    draw.circle((large / 2, large / 2), large / 9, (250, 250, 246))
    pixels = np.asarray(ball.resize((_BALL, _BALL), Image.Resampling.LANCZOS)).astype(float)
    down, across = np.mgrid[0:_BALL, 0:_BALL] / _BALL
    pixels[..., :3] *= np.clip(1.25 - np.hypot(across - 0.36, down - 0.30), 0.4, 1.1)[..., None]
    return Image.fromarray(np.clip(pixels, 0, 255).astype(np.uint8))


def _paint_land() -> Image.Image:
    """Draw mountains, trees and a meadow, as RGBA that is transparent where the sky is."""
    land = Image.new("RGBA", (WIDTH * _FINE, HEIGHT * _FINE))
    draw, random = ImageDraw.Draw(land), np.random.default_rng(11)
    _fill_below(draw, _ridge(330.0, 95, random), (138, 150, 196))
    _fill_below(draw, _ridge(400.0, 70, random), (104, 126, 168))
    _fill_below(draw, _pasture(_ACROSS), (92, 148, 104))
    for x in (*range(60, 700, 47), *range(900, WIDTH, 41)):
        top, shade = _pasture(x) - random.uniform(36, 82), int(random.integers(-14, 14))
        for y, half in ((0, 16), (22, 23), (44, 30)):
            corners = [(x, top + y), (x - half, top + y + 40), (x + half, top + y + 40)]
            _fill(draw, corners, (34 + shade, 92 + shade + y // 3, 62 + shade))
    _fill_below(draw, _meadow(_ACROSS), (70, 138, 62))
    for near in sorted(random.uniform(0, 1, 9000) ** 1.3):  # blades of grass: a blur shows on fine detail
        x, lean, tone = random.uniform(0, WIDTH), random.uniform(-5, 5), int(random.integers(-26, 34))
        foot, color = _meadow(x) + near * 200, (66 + tone, 140 + tone, 52 + tone // 2)
        _fill(draw, [(x - 1, foot), (x + 1, foot), (x + lean, foot - 6 - 16 * near)], color)
    for near in random.uniform(0.06, 1, 170):
        x, flower = random.uniform(0, WIDTH), _FLOWERS[int(random.integers(4))]
        draw.circle((x * _FINE, (_meadow(x) + near * 180) * _FINE), (1.5 + 3.2 * near) * _FINE, flower)
    return land.resize((WIDTH, HEIGHT), Image.Resampling.LANCZOS)


def _fill(draw: ImageDraw.ImageDraw, corners: Iterable[tuple[float, float]], color: Color) -> None:
    draw.polygon([(x * _FINE, y * _FINE) for x, y in corners], color)


def _fill_below(draw: ImageDraw.ImageDraw, top: Array, color: Color) -> None:
    _fill(draw, [(0, HEIGHT), *zip(_ACROSS.tolist(), top.tolist(), strict=True), (WIDTH, HEIGHT)], color)


def _ridge(base: float, rise: float, random: np.random.Generator) -> Array:
    """Make a rugged line from octaves of straight segments."""
    line = np.full(_ACROSS.shape, base)
    for octave in range(6):
        knots = np.linspace(0, WIDTH, 5 * 2**octave)
        line += np.interp(_ACROSS, knots, random.uniform(-rise, rise, len(knots))) / 1.9**octave
    return line


def _pasture(x: Any) -> Any:
    """Return where the hill with the trees begins, in pixels from the top."""
    return 470 + 30 * np.sin(x / 170 + 2) + 10 * np.sin(x / 61)


def _meadow(x: Any) -> Any:
    """Return where the foremost hill begins, in pixels from the top."""
    return 560 + 26 * np.sin(x / 210) + 12 * np.sin(x / 83 + 1)

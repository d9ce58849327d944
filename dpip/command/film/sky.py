"""The sky over the valley and the light of the hour."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
from attrs import frozen
from PIL import Image

from dpip.command.film.sprites import disc

Color = tuple[int, int, int]

_HORIZON = 0.66  # of the height
_COARSE = 8  # the sky is smooth: computed so many times smaller, and enlarged
_SUN = 104


@frozen
class Light:
    """At ``hour`` (0 is sunrise, 1 sunset): the sky at top and horizon, and what falls on the land."""

    hour: float
    top: Color
    horizon: Color
    land: Color

    @property
    def cloud(self) -> Color:
        """White, with a third of what falls on the land."""
        return _between((255, 255, 255), self.land, 1 / 3)


_DAY = (
    Light(0.00, (52, 44, 98), (255, 146, 92), (158, 118, 132)),
    Light(0.18, (86, 124, 204), (255, 205, 150), (228, 200, 180)),
    Light(0.50, (44, 118, 214), (188, 226, 248), (255, 255, 250)),
    Light(0.82, (72, 98, 190), (255, 196, 130), (232, 196, 164)),
    Light(1.00, (46, 34, 88), (250, 112, 82), (150, 104, 126)),
)


def light_at(hour: float) -> Light:
    before, after = next(pair for pair in pairwise(_DAY) if hour <= pair[1].hour)
    share = (hour - before.hour) / (after.hour - before.hour)
    return Light(
        hour,
        _between(before.top, after.top, share),
        _between(before.horizon, after.horizon, share),
        _between(before.land, after.land, share),
    )


def _between(one: Color, other: Color, share: float) -> Color:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def paint_sky(light: Light, width: int, height: int) -> Image.Image:
    """A gradient, brighter around the sun."""
    rows, columns = height // _COARSE, width // _COARSE
    down, across = np.mgrid[0:rows, 0:columns].astype(np.float32) * _COARSE
    share = np.minimum(down / (height * _HORIZON), 1)[:, :, None] ** 1.4
    top, horizon = np.array(light.top, np.float32), np.array(light.horizon, np.float32)
    sky = top + (horizon - top) * share
    x, y = 90 + (width - 180) * light.hour, 440 - 345 * math.sin(math.pi * light.hour)
    glow = np.exp(-np.hypot(across - x, down - y) / 150)[:, :, None] * np.array((190, 172, 128), np.float32)
    small = np.clip(sky + glow * (1 - sky / 300), 0, 255).astype(np.uint8)
    picture = Image.fromarray(small).resize((width, height), Image.Resampling.BILINEAR)
    picture.paste((255, 246, 206), (int(x) - _SUN // 2, int(y) - _SUN // 2), disc(_SUN))
    return picture

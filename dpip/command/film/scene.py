"""A frame: sky, clouds, land and ball, laid over each other."""

from __future__ import annotations

import math
from io import BytesIO

from attrs import define, field
from PIL import Image

from dpip.command.film import HEIGHT, WIDTH, sprites
from dpip.command.film.land import meadow, paint_land
from dpip.command.film.sky import light_at, paint_sky

_BALL = 128
_CLOUDS = ((300, 1, 90, 66, 150), (210, 2, 610, 150, 100), (340, 5, 860, 36, 190))  # width, seed, x, y, speed


@define
class Scene:
    """``count`` frames that follow each other, from sunrise to sunset. Thread-safe once it is made."""

    count: int
    _land: Image.Image = field(init=False)
    _outline: Image.Image = field(init=False)

    def __attrs_post_init__(self) -> None:
        painted = paint_land(WIDTH, HEIGHT)
        self._land, self._outline = painted.convert("RGB"), painted.getchannel("A")

    def frame(self, number: int) -> Image.Image:
        """RGB, 1280×720."""
        hour = (number + 0.5) / self.count
        light = light_at(hour)
        picture = paint_sky(light, WIDTH, HEIGHT)
        for width, seed, x, y, speed in _CLOUDS:
            cloud = sprites.cloud(width, seed)
            picture.paste(light.cloud, (int(x + speed * hour), y), cloud)
        land = self._land.copy()
        _roll_ball(land, hour)
        lit = [level * part // 255 for part in light.land for level in range(256)]
        picture.paste(land.point(lit), (0, 0), self._outline)
        return picture

    def jpeg(self, number: int) -> bytes:
        """The frame as a file."""
        file = BytesIO()
        self.frame(number).save(file, "JPEG", quality=92)
        return file.getvalue()


def _roll_ball(picture: Image.Image, hour: float) -> None:
    """It rolls without slipping: it turns as far as it goes."""
    x = -_BALL + (WIDTH + 2 * _BALL) * hour
    corner = (int(x - _BALL / 2), int(meadow(x)) + 84 - _BALL)
    turned = sprites.ball(_BALL).rotate(-math.degrees(2 * x / _BALL), Image.Resampling.BICUBIC)
    shade, gleam = sprites.roundness(_BALL)
    turned.paste((30, 20, 50), (0, 0), shade)
    turned.paste((255, 255, 255), (0, 0), gleam)
    picture.paste((16, 44, 20), (corner[0] - 20, corner[1] + _BALL - 20), sprites.shadow(_BALL))
    picture.paste(turned, corner, sprites.disc(_BALL))

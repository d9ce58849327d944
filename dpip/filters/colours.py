"""Colours as parameters, in words or as ``#rrggbb``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.filters.schema import Parameter
from dpip.filters.shape import Shape

_WORDS = {"white": "#ffffff", "black": "#000000", "transparent": "#000000"}

BACKGROUND = Parameter(
    "background",
    "colour",
    "auto",
    "Colour of what is new; auto is transparent where the picture has alpha, else white.",
    choices=("auto", *_WORDS),
)


def components(colour: str) -> tuple[int, int, int]:
    """Return red, green and blue, 0 to 255, of ``#rrggbb``, ``white`` or ``black``."""
    digits = _WORDS.get(colour, colour)
    return int(digits[1:3], 16), int(digits[3:5], 16), int(digits[5:7], 16)


def with_background(shape: Shape, params: Mapping[str, Any]) -> Shape:
    """Return the shape with alpha, if the parameter ``background`` needs it."""
    add = params["background"] == "transparent" and not shape.has_alpha
    return attrs.evolve(shape, channels=shape.channels + add)

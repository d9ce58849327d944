"""Placing one rectangle in another, by words such as ``top_left``."""

from __future__ import annotations

import re

from dpip.errors import BadParameter
from dpip.filters.schema import Parameter

PLACES = (
    "center",
    "top",
    "bottom",
    "left",
    "right",
    "top_left",
    "top_right",
    "bottom_left",
    "bottom_right",
)
_ASPECT = re.compile(r"(\d+(?:\.\d+)?)(?:[:/x](\d+(?:\.\d+)?))?")


def place_parameter(default: str, description: str, *more: str) -> Parameter:
    """Return the parameter ``place``, whose values are PLACES and ``more`` words."""
    return Parameter("place", "choice", default, description, choices=(*PLACES, *more))


def offset(place: str, width: int, height: int, margin: int = 0) -> tuple[int, int]:
    """Return (left, top) in the space that is left over, ``width`` x ``height``, negative where it lacks."""
    left = margin if "left" in place else width - margin if "right" in place else width // 2
    top = margin if "top" in place else height - margin if "bottom" in place else height // 2
    return left, top


def ratio(aspect: str) -> float:
    """Return the width divided by the height of ``16:9`` or ``1.5``. Raises BadParameter."""
    found = _ASPECT.fullmatch(aspect.strip())
    value = float(found[1]) / (float(found[2] or 1) or 1) if found else 0.0
    if not 0.001 <= value <= 1000:
        raise BadParameter(
            f"Parameter aspect must be width to height, such as 16:9 or 1.5; {aspect!r} was given.",
            parameter="aspect",
        )
    return value

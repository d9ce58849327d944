"""The filter ``levels``: which tones become black and white, and how light the middle is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.errors import BadParameter
from dpip.filters.schema import Filter, Parameter, Pixels


def levels(array: Pixels, *, black: float, white: float, gamma: float, threads: int = 1) -> Pixels:
    """Map ``black`` to 0 and ``white`` to 1, both in percent, then take the power of 1 / ``gamma``."""
    from dpip.filters.tables import apply_curve

    low, high = black / 100, white / 100
    return apply_curve(
        array, lambda values: ((values - low) / (high - low)).clip(0, 1) ** (1 / gamma), threads
    )


def _in_order(params: Mapping[str, Any]) -> None:
    if params["black"] >= params["white"]:
        raise BadParameter("levels needs a black below its white.", parameter="black")


FILTER = Filter(
    name="levels",
    summary="Which tones become black and white, and how light the middle is.",
    function=levels,
    parameters=(
        Parameter("black", "float", 0.0, "Percent of the range: what is darker becomes black.", 0, 100),
        Parameter("white", "float", 100.0, "Percent of the range: what is lighter becomes white.", 0, 100),
        Parameter("gamma", "float", 1.0, "Middle tones lighter (above 1) or darker.", 0.1, 10),
    ),
    working_bytes=lambda shape, params: 0,
    takes_threads=True,
    check=_in_order,
    takes_floats=True,
    area="same",
    maps="same",
)

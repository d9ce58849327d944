"""The filter ``clahe``: more contrast in every part of the picture (contrast limited equalisation)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def clahe(array: Pixels, *, clip: float, tiles: int, threads: int = 1) -> Pixels:
    """Equalise the luma of ``tiles`` x ``tiles`` parts, interpolated between them; colours keep their hue.

    No tone may become more frequent than ``clip`` times the mean, which limits noise. Zuiderveld,
    "Contrast Limited Adaptive Histogram Equalization" (1994).
    """
    from dpip.filters.equalising import equalised

    return equalised(array, clip, tiles, threads)


def _working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon the curve of each tile, what making one takes, and the luma."""
    tables = int(params["tiles"]) ** 2 * shape.sample_bytes << 8 * shape.sample_bytes
    making = 8 << 20 if shape.sample_bytes > 1 else 0
    return tables + making + 2.5 * shape.pixels * shape.sample_bytes


FILTER = Filter(
    name="clahe",
    summary="More contrast in every part of the picture (CLAHE).",
    function=clahe,
    parameters=(
        Parameter("clip", "float", 2.0, "How much contrast may grow; 1 is least.", 1, 40),
        Parameter("tiles", "integer", 8, "Parts across and down.", 1, 32),
    ),
    working_bytes=_working_bytes,
    takes_threads=True,
    whole_picture=True,
    area="same",
)

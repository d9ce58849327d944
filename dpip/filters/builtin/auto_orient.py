"""The filter ``auto_orient``: upright as EXIF says, which the decoder has done, and nothing else."""

from __future__ import annotations

from dpip.filters.builtin.convert import convert
from dpip.filters.schema import Filter

FILTER = Filter(
    name="auto_orient",
    summary="Upright as the camera says, as with every filter, and nothing else.",
    function=convert,
    working_bytes=lambda shape, params: 0,
    takes_floats=True,
    area="same",
    maps="same",
)

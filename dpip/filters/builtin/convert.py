"""The filter ``convert``: nothing but what the output options say, such as another format."""

from __future__ import annotations

from dpip.filters.schema import Filter, Pixels


def convert(array: Pixels) -> Pixels:
    """Return a copy."""
    return array.copy()


FILTER = Filter(
    name="convert",
    summary="The pixels as they are: for another format, quality or size of the file.",
    function=convert,
    working_bytes=lambda shape, params: 0,
    takes_floats=True,
    area="same",
    maps="same",
)

"""The filter ``flip``: the mirror image."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def flip(array: Pixels, *, direction: str, threads: int = 1) -> Pixels:
    """Exchange left and right ("horizontal"), or top and bottom ("vertical")."""
    from dpip.filters.turning import turned

    return turned(array, 0, direction == "horizontal", direction == "vertical", threads)


FILTER = Filter(
    name="flip",
    summary="The mirror image.",
    function=flip,
    parameters=(
        Parameter(
            "direction",
            "choice",
            "horizontal",
            "What is exchanged: left and right, or top and bottom.",
            choices=("horizontal", "vertical"),
        ),
    ),
    working_bytes=lambda shape, params: 0,
    takes_threads=True,
    whole_picture=True,
    takes_floats=True,
    area="cut",
    maps="along",
)

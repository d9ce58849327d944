"""The filter ``gamma``: middle tones get lighter or darker, black and white stay."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def gamma(array: Pixels, *, gamma: float, threads: int = 1) -> Pixels:
    """Raise every sample to the power of 1 / ``gamma``, on a scale from 0 to 1; below 0 it is mirrored."""
    import numpy as np

    from dpip.filters.tables import apply_curve

    return apply_curve(array, lambda values: np.copysign(np.abs(values) ** (1 / gamma), values), threads)


FILTER = Filter(
    name="gamma",
    summary="Middle tones lighter (above 1) or darker (below 1).",
    function=gamma,
    parameters=(Parameter("gamma", "float", 1.0, "Above 1 is lighter, below 1 darker.", 0.1, 10),),
    working_bytes=lambda shape, params: 9.4 * shape.samples if shape.is_float else 0,
    takes_threads=True,
    takes_floats=True,
    area="same",
    maps="same",
)

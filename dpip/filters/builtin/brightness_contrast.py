"""The filter ``brightness_contrast``: a straight line through the middle gray."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


def brightness_contrast(array: Pixels, *, brightness: float, contrast: float, threads: int = 1) -> Pixels:
    """Map x to (x - 1/2) (1 + contrast/100) + 1/2 + brightness/100, on a scale from 0 to 1.

    Whole numbers are clipped, floating point is not.
    """
    from dpip.filters.tables import apply_curve

    slope, lift = 1 + contrast / 100, brightness / 100
    return apply_curve(array, lambda values: (values - 0.5) * slope + 0.5 + lift, threads)


FILTER = Filter(
    name="brightness_contrast",
    summary="Lighter or darker, with more or less contrast.",
    function=brightness_contrast,
    parameters=(
        Parameter("brightness", "float", 0.0, "Percent of the whole range that is added.", -100, 100),
        Parameter("contrast", "float", 0.0, "Percent by which tones move from middle gray.", -100, 300),
    ),
    working_bytes=lambda shape, params: 9.4 * shape.samples if shape.is_float else 0,
    takes_threads=True,
    takes_floats=True,
    area="same",
    maps="same",
)

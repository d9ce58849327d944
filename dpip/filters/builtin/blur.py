"""The filter ``blur``: a true Gaussian, edges clamped, colours weighted by their alpha."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.filters.schema import Filter, Parameter, Pixels
from dpip.filters.shape import Shape


def blur(array: Pixels, *, sigma: float, threads: int = 1) -> Pixels:
    """Blur with a standard deviation of ``sigma`` pixels; shape and dtype stay.

    Colours are weighted by alpha, so that those of transparent pixels do not bleed. Fully transparent pixels
    of the result have the colour 0.
    """
    from dpip.filters import floating, gaussian
    from dpip.filters.kernels import float_gaussian

    if array.dtype.kind == "f":
        return floating.smoothed(array, lambda planes: float_gaussian.gaussian(planes, sigma, threads))
    return gaussian.gaussian(array, sigma, threads)


def working_bytes(shape: Shape, params: Mapping[str, Any]) -> float:
    """Reckon floating point for samples with alpha or of 16 bits, else smaller pictures of words."""
    if shape.is_float:
        return (15 + 2.4 * shape.sample_bytes) * shape.samples
    return 2.5 * shape.samples if shape.sample_bytes == 1 and not shape.has_alpha else 9.6 * shape.samples


SIGMA = Parameter("sigma", "float", 5.0, "Standard deviation of the Gaussian, in pixels.", 0.3, 100)

FILTER = Filter(
    name="blur",
    summary="Gaussian blur.",
    function=blur,
    parameters=(SIGMA,),
    working_bytes=working_bytes,
    takes_threads=True,
    takes_floats=True,
    area="same",
    cuda="dpip.filters.cuda.blur",
)

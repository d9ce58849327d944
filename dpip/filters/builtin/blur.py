"""The filter ``blur``: a true Gaussian, edges clamped, colours weighted by their alpha."""

from __future__ import annotations

from dpip.filters.schema import Filter, Parameter, Pixels


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


SIGMA = Parameter("sigma", "float", 5.0, "Standard deviation of the Gaussian, in pixels.", 0.3, 100)

FILTER = Filter(
    name="blur",
    summary="Gaussian blur.",
    function=blur,
    parameters=(SIGMA,),
    memory_factor=11.0,  # with alpha, as floating point; without, 5
    takes_threads=True,
    takes_floats=True,
    area="same",
    cuda="dpip.filters.cuda.blur",
)

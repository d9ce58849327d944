"""The filter ``sharpen``: an unsharp mask."""

from __future__ import annotations

from dpip.filters.builtin.blur import blur, working_bytes
from dpip.filters.schema import Filter, Parameter, Pixels


def sharpen(array: Pixels, *, sigma: float, amount: float, threads: int = 1) -> Pixels:
    """Add ``amount`` times the difference to a Gaussian blur of ``sigma`` pixels; alpha stays as it was."""
    import numpy as np

    from dpip.filters.alpha import has_alpha
    from dpip.filters.floating import with_alpha_of
    from dpip.filters.kernels import points

    blurred = blur(array, sigma=sigma, threads=threads)
    if array.dtype.kind == "f":
        details = np.subtract(array, blurred, out=np.zeros_like(array), where=np.isfinite(array))
        return with_alpha_of(array + array.dtype.type(amount) * details, array)
    result = np.empty_like(array)
    top = float(np.iinfo(array.dtype).max)
    points.unsharp(array.reshape(-1), blurred.reshape(-1), result.reshape(-1), amount, top)
    if has_alpha(array):
        result[..., -1] = array[..., -1]
    return result


FILTER = Filter(
    name="sharpen",
    summary="Sharpen by an unsharp mask.",
    function=sharpen,
    parameters=(
        Parameter("sigma", "float", 2.0, "Width of the details, in pixels.", 0.3, 100),
        Parameter("amount", "float", 1.0, "How much of them is added.", 0, 10),
    ),
    working_bytes=lambda shape, params: working_bytes(shape, params) + shape.bytes,
    takes_threads=True,
    takes_floats=True,
    area="same",
)

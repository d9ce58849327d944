"""The filter ``auto_contrast``: the darkest tone becomes black, the lightest white."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dpip.filters.schema import Filter, Parameter, Pixels

if TYPE_CHECKING:
    from dpip.filters.tables import Curve


def auto_contrast(array: Pixels, *, cutoff: float, each_channel: bool, threads: int = 1) -> Pixels:
    """Stretch the tones to the whole range, ``cutoff`` percent of the pixels at each end left aside.

    The luma decides, so that colours keep their hue; with ``each_channel`` red, green and blue are stretched
    by themselves, which removes a colour cast, too.
    """
    import numpy as np

    from dpip.filters.builtin.grayscale import grayscale
    from dpip.filters.histograms import counts, span
    from dpip.filters.tables import apply_curve, apply_curves

    top = np.iinfo(array.dtype).max

    def stretch(ends: tuple[int, int]) -> Curve:
        low, high = (end / top for end in ends)
        return (lambda x: (x - low) / (high - low)) if high > low else (lambda x: x)

    if each_channel and array.ndim == 3 and array.shape[2] > 2:
        curves = [stretch(span(counts(array, channel), cutoff)) for channel in range(3)]
        return apply_curves(array, curves, threads)
    gray = grayscale(array, threads=threads)
    return apply_curve(array, stretch(span(counts(gray), cutoff)), threads)


FILTER = Filter(
    name="auto_contrast",
    summary="The darkest tone becomes black, the lightest white.",
    function=auto_contrast,
    parameters=(
        Parameter("cutoff", "float", 0.5, "Percent of the pixels at each end that may be clipped.", 0, 49),
        Parameter("each_channel", "boolean", False, "Stretch red, green and blue by themselves."),
    ),
    working_bytes=lambda shape, params: (2 + 1.8 * shape.has_alpha) * shape.pixels * shape.sample_bytes,
    takes_threads=True,
    whole_picture=True,
    area="same",
    maps="same",
)

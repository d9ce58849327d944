"""The filter ``white_balance``: no colour cast, or a warmer or cooler light."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dpip.filters.schema import Filter, Parameter, Pixels

if TYPE_CHECKING:
    from dpip.filters.tables import Curve


def white_balance(array: Pixels, *, temperature: int | str, tint: float, threads: int = 1) -> Pixels:
    """Multiply red, green and blue, as linear light, so that white under that light becomes white.

    ``temperature`` is the light's in kelvin (6500 changes nothing, below it the result is cooler), or
    "gray_world", which takes the picture's mean for gray. ``tint`` is from green (-100) to magenta (100).
    A gray picture is copied.
    """
    from dpip.filters.resampling import from_light, to_light
    from dpip.filters.tables import apply_curves

    if array.ndim == 2 or array.shape[2] == 2:
        return array.copy()
    gains = _gray_world(array) if isinstance(temperature, str) else _of_light(temperature)
    gains = [gains[0], gains[1] * 2 ** (-tint / 200), gains[2]]
    level = 0.2126 * gains[0] + 0.7152 * gains[1] + 0.0722 * gains[2]  # white stays as light as it was

    def curve(gain: float) -> Curve:
        return lambda values: from_light((to_light(values) * (gain / level)).clip(0, 1))

    return apply_curves(array, [curve(gain) for gain in gains], threads)


def _gray_world(array: Pixels) -> list[float]:
    import numpy as np

    from dpip.filters.histograms import counts
    from dpip.filters.resampling import to_light

    top = np.iinfo(array.dtype).max
    light = to_light(np.arange(top + 1) / top)
    counted = [counts(array, channel) for channel in range(3)]
    means = [float((each * light).sum() / max(1, each.sum())) for each in counted]
    gray = sum(means) / 3
    return [min(max(gray / value, 0.2), 5.0) if value > 0 else 1.0 for value in means]


def _of_light(kelvin: float) -> list[float]:
    """Return what makes white of light of that temperature, relative to 6500 K.

    Planckian locus: Kim et al., US patent 7,024,034 (cubic splines); then XYZ to linear sRGB.
    """
    return [neutral / colour for neutral, colour in zip(_light(6500), _light(kelvin), strict=True)]


def _light(kelvin: float) -> Any:
    t = 1000 / kelvin
    if kelvin <= 4000:
        x = -0.2661239 * t**3 - 0.2343589 * t**2 + 0.8776956 * t + 0.179910
    else:
        x = -3.0258469 * t**3 + 2.1070379 * t**2 + 0.2226347 * t + 0.240390
    if kelvin <= 2222:
        y = -1.1063814 * x**3 - 1.34811020 * x**2 + 2.18555832 * x - 0.20219683
    elif kelvin <= 4000:
        y = -0.9549476 * x**3 - 1.37418593 * x**2 + 2.09137015 * x - 0.16748867
    else:
        y = 3.0817580 * x**3 - 5.87338670 * x**2 + 3.75112997 * x - 0.37001483
    tall, wide = x / y, (1 - x - y) / y
    red = 3.2404542 * tall - 1.5371385 - 0.4985314 * wide
    green = -0.9692660 * tall + 1.8760108 + 0.0415560 * wide
    blue = 0.0556434 * tall - 0.2040259 + 1.0572252 * wide
    return [max(value, 0.02) for value in (red, green, blue)]


FILTER = Filter(
    name="white_balance",
    summary="No colour cast, or a warmer or cooler light.",
    function=white_balance,
    parameters=(
        Parameter(
            "temperature",
            "integer",
            "gray_world",
            "Of the light in kelvin: below 6500 the result is cooler; gray_world finds it.",
            2000,
            20_000,
            choices=("gray_world",),
        ),
        Parameter("tint", "float", 0.0, "From green (-100) to magenta (100).", -100, 100),
    ),
    working_bytes=lambda shape, params: 0.5 * shape.bytes,
    takes_threads=True,
    whole_picture=True,
    area="same",
    maps="same",
)

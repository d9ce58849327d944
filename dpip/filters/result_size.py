"""How large a result will probably be, which nobody knows before it has been computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from attrs import frozen

from dpip.filters.output import BY_NAME
from dpip.filters.placing import ratio

#: Bytes of a file for each byte of its decoded pixels, for photographs.
_TYPICAL = {
    "JPEG": 0.15,
    "WEBP": 0.15,
    "AVIF": 0.12,
    "JXL": 0.15,
    "JPEG2000": 0.3,
    "GIF": 0.35,
    "PNG": 0.6,
    "QOI": 0.7,
    "PFM": 4.0,  # a float for each byte
}
_UNCOMPRESSED = ("BMP", "TIFF", "PNM", "PFM", "TGA")
_HIGH_QUALITY = 95
_HIGH_QUALITY_FACTOR = 3.0

Size = tuple[int, int]
Sized = Callable[[int, int, Mapping[str, Any]], Size]


@frozen
class Original:
    """What is known of an original: ``size`` is the file's, ``decoded_bytes`` that of all its frames."""

    format: str
    width: int
    height: int
    decoded_bytes: int
    size: int


def result_bytes(
    steps: Sequence[tuple[str, Mapping[str, Any]]], output: Mapping[str, Any], original: Original
) -> int:
    """Estimate the bytes of the result of these steps.

    A result in the original's format compresses about as well as the original. Another is reckoned as a
    photograph. A step whose effect on the size is not known here is taken to keep it.
    """
    width, height = original.width, original.height
    for name, params in steps:
        if name in _RESIZES:
            width, height = _RESIZES[name](width, height, params)
    scale = width * height / max(1, original.width * original.height)
    format = output.get("format") or BY_NAME[original.format].becomes or original.format
    reckoned = original.decoded_bytes * scale * _factor(format, output.get("quality"))
    if format == original.format and format not in _UNCOMPRESSED and output.get("quality") is None:
        reckoned = min(original.size * scale, max(original.size, reckoned))
    return int(min(reckoned, output.get("max_bytes") or reckoned))


def _factor(format: str, quality: int | None) -> float:
    return _TYPICAL.get(format, 1.0) * (_HIGH_QUALITY_FACTOR if (quality or 0) >= _HIGH_QUALITY else 1.0)


def _resized(width: int, height: int, params: Mapping[str, Any]) -> Size:
    wanted_width, wanted_height = params.get("width"), params.get("height")
    across = (wanted_width or 0) / width
    down = (wanted_height or 0) / height
    if not across or not down:
        return _scaled(width, height, across or down or 1.0)
    if params.get("fit") in ("stretch", "cover"):
        return wanted_width or width, wanted_height or height
    return _scaled(width, height, min(across, down))


def _thumbnail(width: int, height: int, params: Mapping[str, Any]) -> Size:
    return _scaled(width, height, min(1.0, params.get("size", 256) / max(width, height)))


def _padded(width: int, height: int, params: Mapping[str, Any]) -> Size:
    border = 2 * params.get("border", 0)
    width = max(params.get("width") or 1, width + border)
    height = max(params.get("height") or 1, height + border)
    if params.get("aspect") is None:
        return width, height
    shape = ratio(params["aspect"])
    return max(width, round(height * shape)), max(height, round(width / shape))


def _turned(width: int, height: int, params: Mapping[str, Any]) -> Size:
    if not params.get("expand", True):
        return width, height
    angle = math.radians(params.get("angle", 90.0))
    across, down = abs(math.cos(angle)), abs(math.sin(angle))
    return round(width * across + height * down), round(width * down + height * across)


def _scaled(width: int, height: int, scale: float) -> Size:
    return max(1, round(width * scale)), max(1, round(height * scale))


_RESIZES: Mapping[str, Sized] = {
    "resize": _resized,
    "thumbnail": _thumbnail,
    "pad": _padded,
    "rotate": _turned,
}

"""How large a result will probably be, which nobody knows before it has been computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dpip.filters import registry
from dpip.filters.codec.info import PictureInfo
from dpip.filters.output import BY_NAME
from dpip.filters.shape import Shape

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


def result_bytes(
    info: PictureInfo, file: int, steps: Sequence[tuple[str, Mapping[str, Any]]], output: Mapping[str, Any]
) -> int:
    """Estimate the bytes of the result of these steps for a picture in a file of so many bytes.

    A result in the original's format compresses about as well as the original. Another is reckoned as a
    photograph. Raises UnknownFilter and BadParameter as :mod:`dpip.filters.registry` does.
    """
    before, after = _shapes(info, steps)
    # Fewer channels make most files hardly smaller.
    scale = after.pixels / before.pixels * max(1.0, after.channels / before.channels)
    format = output.get("format") or BY_NAME[info.format].of_result(
        info.frames, after.sample_bytes > 1, after.has_alpha
    )
    reckoned = info.pixels * info.pixel_bytes * scale * _factor(format, output.get("quality"))
    if format == info.format and format not in _UNCOMPRESSED and output.get("quality") is None:
        reckoned = min(file * scale, max(file, reckoned))
    return int(min(reckoned, output.get("max_bytes") or reckoned))


def _shapes(info: PictureInfo, steps: Sequence[tuple[str, Mapping[str, Any]]]) -> tuple[Shape, Shape]:
    """Return what the first frame is before and after the steps."""
    before = result = Shape(info.width, info.height, min(info.channels, 4), -(-info.bits // 8))
    for name, params in steps:
        found = registry.find(name)
        result = found.shape_after(result, found.validate(params))
    return before, result


def _factor(format: str, quality: int | None) -> float:
    return _TYPICAL.get(format, 1.0) * (_HIGH_QUALITY_FACTOR if (quality or 0) >= _HIGH_QUALITY else 1.0)

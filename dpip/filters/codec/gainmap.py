"""Gain maps: a JPEG within a JPEG that says how much brighter each place is on HDR screens.

Sources: Google's Ultra HDR, ISO 21496-1, Apple's HDR gain maps.
"""

from __future__ import annotations

from typing import Any

from dpip.errors import NotAnImage, PictureError
from dpip.filters.codec import headers, jpeg
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.upright import upright
from dpip.filters.metadata import exif, fitting, xmp
from dpip.filters.metadata.fitting import Wanted
from dpip.filters.metadata.jpeg import (
    APP0,
    APP1,
    APP2,
    APP14,
    ICC,
    ISO_GAIN_MAP,
    XMP,
    first_scan,
    segment,
    segments,
)

GAIN_LEFT_OUT = "The gain map of the original was left out: it does not shine on HDR screens."


def filtered(picture: Picture, frame: Frame, wanted: Wanted, output: dict[str, Any]) -> bytes | None:
    """Return the gain map as it belongs to the result, a JPEG; None if there is none, or it has to go.

    The latter is told.
    """
    if picture.gain is None:
        return None
    why = _why_not(picture.metadata, frame, wanted, output)
    if not why:
        try:
            return _made(picture.gain, picture.metadata, frame, wanted.way)
        except (PictureError, NotAnImage):
            why = "it is damaged"
    picture.notices.append(f"{GAIN_LEFT_OUT} It had to be: {why}.")
    return None


def _why_not(metadata: Metadata, frame: Frame, wanted: Wanted, output: dict[str, Any]) -> str:
    if wanted.way not in ("keep", fitting.WITHOUT_PLACE):
        return "it needs metadata that was not wanted"
    if frame.along is None:
        return "the filter does more than to move or recolour pixels"
    if output["colour"] == "srgb" and (metadata.icc or metadata.space):
        return "it is for the original's colours"
    return ""


def _made(gain: bytes, metadata: Metadata, frame: Frame, way: str) -> bytes:
    info = headers.probe(gain)
    height, width = frame.pixels.shape[:2]
    before = frame.before or (width, height)
    if info.format != "JPEG" or info.width * info.height > before[0] * before[1]:
        raise NotAnImage("The gain map is larger than the picture.")
    if info.channels > 1 and frame.pixels.ndim == 2:
        raise NotAnImage("The gain map is for colours.")
    parts = list(segments(gain))
    kept = [(marker, payload) for marker, payload in parts if _belongs(marker, payload)]
    turn = exif.orientation(metadata.exif, metadata.xmp)
    if frame.along or turn != 1 or before != (width, height):
        decoded = jpeg.decode(gain, DecodeBudget.of(info))
        (first,) = list(decoded.frames)[:1]
        pixels = _along(upright(first.pixels, turn), frame, before)
        gain = jpeg.encode(pixels, Metadata(), decoded.style, [])
        kept = [part for part in kept if part[0] not in (APP0, APP14)]
    return _with(gain, [(marker, _of_way(marker, payload, way)) for marker, payload in kept])


def _belongs(marker: int, payload: bytes) -> bool:
    """Tell whether a segment says what the gain map means; others may be previews, or name places."""
    if marker == APP1:
        return payload.startswith(XMP)
    return marker in (APP0, APP14) or (marker == APP2 and payload.startswith((ISO_GAIN_MAP, ICC)))


def _of_way(marker: int, payload: bytes, way: str) -> bytes:
    if marker != APP1 or way == "keep":
        return payload
    try:
        return XMP + xmp.without_place(payload[len(XMP) :])
    except xmp.DamagedXmp:
        raise NotAnImage("The gain map's XMP is damaged.") from None


def _along(pixels: Pixels, frame: Frame, before: tuple[int, int]) -> Pixels:
    """Do to the map what was done to the picture; its size stays in proportion."""
    from dpip.filters.resampling import resample

    share = max(pixels.shape[1] / before[0], pixels.shape[0] / before[1])
    for apply in frame.along or ():
        pixels = apply(pixels)
    height, width = frame.pixels.shape[:2]
    size = max(1, round(width * share)), max(1, round(height * share))
    return pixels if size == (pixels.shape[1], pixels.shape[0]) else resample(pixels, *size)


def _with(data: bytes, parts: list[tuple[int, bytes]]) -> bytes:
    """Put these segments in place of those that a JPEG has for applications."""
    rest = b"".join(segment(marker, body) for marker, body in segments(data) if not 0xE0 <= marker <= 0xEF)
    scan = first_scan(data)
    return b"".join((b"\xff\xd8", *(segment(*part) for part in parts), rest, data[scan:]))

"""Writing the result as a file, in the original's format or in the one that the output options name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import attrs
import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters import groups
from dpip.filters.alpha import channel_count, has_alpha
from dpip.filters.codec import gif, icc, jpeg, pillow, png, webp
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels

_LONGEST_SIDE = {"JPEG": 65535, "WEBP": 16383, "GIF": 65535}
_MANY_FRAMES = ("GIF", "PNG", "WEBP", "TIFF")


def write(picture: Picture, frames: Iterable[Frame], output: dict[str, Any]) -> tuple[bytes, str]:
    """Do what :func:`dpip.filters.codec.encode` says."""
    format = output["format"] or picture.format
    style = dict(picture.style) if format == picture.format else {}
    if output["quality"]:
        style["quality"] = output["quality"]
    if picture.frame_count > 1 and format not in _MANY_FRAMES:
        raise UnsupportedPicture(
            f"The original has {picture.frame_count} frames and {format} holds one picture."
        )
    if format != picture.format:  # the number of a disposal method means something else in another format
        frames = (attrs.evolve(frame, disposal=0) for frame in frames)
    if format == "TIFF":
        return _pages(iter(frames), picture, output, style), format
    frames = (_in_one_group(frame, format, picture.notices) for frame in frames)
    fitted = (attrs.evolve(frame, pixels=_fit(frame.pixels, format, picture.notices)) for frame in frames)
    if picture.frame_count > 1 or format == "GIF":
        return _animation(fitted, format, picture, output, style), format
    frame = next(iter(fitted))
    metadata = _metadata(picture, format, output, frame.pixels)
    return _still(frame.pixels, format, metadata, style), format


def _pages(frames: Iterator[Frame], picture: Picture, output: dict[str, Any], style: dict[str, Any]) -> bytes:
    """Write a TIFF, page by page: those before are not in memory any more as arrays."""
    from dpip.filters.codec import tiff  # see codec.decode

    first = next(frames)
    metadata = _metadata(picture, "TIFF", output, groups.split(first.pixels, first.groups)[0])
    own = picture.format == "TIFF" and output["metadata"] == "keep"
    return tiff.encode(chain((first,), frames), metadata, style, picture.notices, own_tags=own)


def _in_one_group(frame: Frame, format: str, notices: list[str]) -> Frame:
    """Leave out the bands that only TIFF holds."""
    if len(frame.groups) <= 1:
        return frame
    notices.append(f"{format} holds colours and alpha: {len(frame.groups) - 1} further bands were left out.")
    return attrs.evolve(frame, pixels=groups.split(frame.pixels, frame.groups)[0], groups=())


def _still(pixels: Pixels, format: str, metadata: Metadata, style: dict[str, Any]) -> bytes:
    if format == "JPEG":
        return jpeg.encode(pixels, metadata, style)
    if format == "PNG":
        return png.encode(pixels, metadata)
    if format == "WEBP":
        return webp.encode(pixels, metadata, style)
    return pillow.encode(pixels, format, metadata)


def _animation(
    frames: Iterator[Frame], format: str, picture: Picture, output: dict[str, Any], style: dict[str, Any]
) -> bytes:
    frames = _of_one_size(frames, format)
    if format == "GIF":
        return gif.encode(frames, picture.loop)
    first = next(frames)
    metadata = _metadata(picture, format, output, first.pixels)
    every = chain((first,), frames)
    if format == "PNG":
        return png.encode_animation(every, picture, metadata)
    return webp.encode_animation(every, picture, metadata, style)


def _of_one_size(frames: Iterator[Frame], format: str) -> Iterator[Frame]:
    size = None
    for frame in frames:
        height, width = frame.pixels.shape[:2]
        size = size or (height, width)
        if (height, width) != size:
            raise UnsupportedPicture(
                f"The pages have several sizes, {size[1]} x {size[0]} and {width} x {height}, and {format} "
                "shows all in one: TIFF holds them."
            )
        yield frame


def _metadata(picture: Picture, format: str, output: dict[str, Any], pixels: Pixels) -> Metadata:
    """Choose the metadata that the result keeps."""
    metadata = picture.metadata
    profile = icc.fitting(metadata.icc, channel_count(pixels))
    if output["metadata"] == "strip":
        return Metadata(icc=profile)  # colours need the profile
    extra = metadata.extra if format == picture.format else ()
    return attrs.evolve(metadata, icc=profile, extra=extra)


def _fit(pixels: Pixels, format: str, notices: list[str]) -> Pixels:
    """Convert the pixels to what the format can hold. Raises UnsupportedPicture for too large a side."""
    height, width = pixels.shape[:2]
    longest = _LONGEST_SIDE.get(format)
    if longest is not None and max(height, width) > longest:
        raise UnsupportedPicture(
            f"The result has {width} x {height} pixels; {format} holds {longest} at most."
        )
    if pixels.dtype.kind == "f":
        pixels = _as_words(pixels, format, notices)
    if pixels.dtype == np.uint16 and format not in ("PNG", "TIFF"):
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
    if has_alpha(pixels) and format == "JPEG":
        return _on_white(pixels)
    if channel_count(pixels) == 2 and format in ("WEBP", "BMP", "GIF"):
        return np.ascontiguousarray(pixels[..., (0, 0, 0, 1)])
    return pixels


def _as_words(pixels: Pixels, format: str, notices: list[str]) -> Pixels:
    """Turn floating point into 16 bits: 0 is black, 1 is white, and so is what is not known, or beyond."""
    known = np.nan_to_num(pixels)
    if not bool(((pixels >= 0) & (pixels <= 1)).all()):
        notices.append(f"{format} has no numbers below 0, above 1 or unknown: they became black or white.")
    return np.asarray(np.clip(known, 0, 1) * 65535 + 0.5).astype(np.uint16)


def _on_white(pixels: Pixels) -> Pixels:
    """Replace alpha by a white background."""
    colour = pixels[..., :-1].astype(np.uint32)
    alpha = pixels[..., -1:].astype(np.uint32)
    flat = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return flat[..., 0] if flat.shape[2] == 1 else flat

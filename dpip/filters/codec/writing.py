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
from dpip.filters.codec import colours, gif, icc, jpeg, netpbm, pillow, png, webp
from dpip.filters.codec.indexed import indexed
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.output import BY_NAME


def write(picture: Picture, frames: Iterable[Frame], output: dict[str, Any]) -> tuple[bytes, str]:
    """Do what :func:`dpip.filters.codec.encode` says."""
    frames = iter(frames)
    first = next(frames)
    frames = chain((first,), frames)
    deep, alpha = first.pixels.dtype != np.uint8, has_alpha(first.pixels)
    format = output["format"] or BY_NAME[picture.format].of_result(picture.frame_count, deep, alpha)
    style = dict(picture.style) if format == picture.format else {}
    if output["quality"]:
        style["quality"] = output["quality"]
    if picture.frame_count > 1 and not BY_NAME[format].many:
        raise UnsupportedPicture(
            f"The original has {picture.frame_count} frames and {format} holds one picture."
        )
    if format != picture.format:  # the number of a disposal method means something else in another format
        frames = (attrs.evolve(frame, disposal=0) for frame in frames)
    if format == "TIFF":
        return _pages(iter(frames), picture, output, style), format
    frames = (_in_one_group(frame, format, picture.notices) for frame in frames)
    fitted = (attrs.evolve(frame, pixels=_fit(frame.pixels, format, picture.notices)) for frame in frames)
    if format == "AVIF":
        return _avif(_of_one_size(fitted, format), picture, output, style), format
    if picture.frame_count > 1 or format == "GIF":
        return _animation(fitted, format, picture, output, style), format
    frame = next(iter(fitted))
    metadata = _metadata(picture, format, output, frame.pixels)
    pixels = _in_plain_colours(frame.pixels, format, metadata, picture.notices)
    return _still(pixels, format, metadata, style), format


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
        return png.encode(pixels, metadata, style.get("colours", 0))
    if format == "WEBP":
        return webp.encode(pixels, metadata, style)
    if format == "JXL":
        from dpip.filters.codec import jpegxl  # imagecodecs takes time to import

        return jpegxl.encode(pixels, metadata, style)
    if format == "JPEG2000":
        from dpip.filters.codec import jpeg2000

        return jpeg2000.encode(pixels, metadata, style)
    if format == "QOI":
        from dpip.filters.codec import qoi

        return qoi.encode(pixels)
    if format == "PNM":
        return netpbm.encode(pixels, metadata, style)
    if format == "PFM":
        return netpbm.encode_floats(pixels)
    if format == "BMP" and "colours" in style:
        few = indexed(pixels, style["colours"])
        if few is not None and few.table.shape[1] < 4:
            return pillow.encode_indexed(few, format, metadata)
    return pillow.encode(pixels, format, metadata)


def _avif(frames: Iterator[Frame], picture: Picture, output: dict[str, Any], style: dict[str, Any]) -> bytes:
    from dpip.filters.codec import avif

    first = next(frames)
    metadata = _metadata(picture, "AVIF", output, first.pixels)
    return avif.encode(chain((first,), frames), picture, metadata, style)


def _in_plain_colours(pixels: Pixels, format: str, metadata: Metadata, notices: list[str]) -> Pixels:
    """Convert to sRGB what has a profile, for a format without room for one."""
    if metadata.icc is None or "icc" in BY_NAME[format].metadata:
        return pixels
    converted = colours.in_srgb(pixels, metadata.icc)
    if converted is None:
        return pixels
    notices.append(f"{format} is written without a profile: the colours were converted to sRGB.")
    return converted


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
    """Choose the metadata that the result keeps, and tell what the format has no room for."""
    metadata = picture.metadata
    if format != picture.format and output["metadata"] == "keep":
        _tell_lost(metadata, format, picture.notices)
    profile = icc.fitting(metadata.icc, channel_count(pixels))
    if output["metadata"] == "strip":
        return Metadata(icc=profile)  # colours need the profile
    extra = metadata.extra if format == picture.format else ()
    return attrs.evolve(metadata, icc=profile, extra=extra)


_LOST = {"exif": "EXIF", "xmp": "XMP"}


def _tell_lost(metadata: Metadata, format: str, notices: list[str]) -> None:
    room = BY_NAME[format].metadata
    lost = [word for part, word in _LOST.items() if getattr(metadata, part) and part not in room]
    if lost:
        notices.append(f"{format} has no room for {' and '.join(lost)}: left out.")


def _fit(pixels: Pixels, format: str, notices: list[str]) -> Pixels:
    """Convert the pixels to what the format can hold. Raises UnsupportedPicture for too large a side."""
    height, width = pixels.shape[:2]
    able = BY_NAME[format]
    if able.side is not None and max(height, width) > able.side:
        raise UnsupportedPicture(
            f"The result has {width} x {height} pixels; {format} holds {able.side} at most."
        )
    if pixels.dtype.kind == "f" and not able.floats:
        pixels = _as_words(pixels, format, notices)
    if pixels.dtype == np.uint16 and not able.deep:
        pixels = ((pixels.astype(np.uint32) * 255 + 32767) // 65535).astype(np.uint8)
        notices.append(f"{format} is written with 8 bits per channel: the original has more.")
    if has_alpha(pixels) and not able.alpha:
        return _on_white(pixels)
    if channel_count(pixels) == 2 and not able.gray_alpha:
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
    if pixels.dtype != np.uint8:
        most = 1.0 if pixels.dtype.kind == "f" else float(np.iinfo(pixels.dtype).max)
        share = pixels[..., -1:] / most
        blended = pixels[..., :-1] * share + most * (1 - share)
        flat = (blended if pixels.dtype.kind == "f" else blended + 0.5).astype(pixels.dtype)
    else:
        colour = pixels[..., :-1].astype(np.uint32)
        alpha = pixels[..., -1:].astype(np.uint32)
        flat = ((colour * alpha + 255 * (255 - alpha) + 127) // 255).astype(np.uint8)
    return flat[..., 0] if flat.shape[2] == 1 else flat

"""Writing the result as a file, in the original's format or in the one that the output options name."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import chain, islice
from typing import Any

import attrs
import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters import groups
from dpip.filters.alpha import channel_count, has_alpha
from dpip.filters.codec import bmp, colouring, gif, jpeg, netpbm, pillow, png, webp
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.metadata import exif, fitting
from dpip.filters.metadata.parts import Change
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
    several = picture.frame_count > 1
    if picture.views and format not in ("JPEG", "TIFF"):
        picture.notices.append(f"{format} has the first of the {picture.frame_count} views; JPEG holds all.")
        frames, several = islice(frames, 1), False
    if several and not BY_NAME[format].many and not picture.views:
        raise UnsupportedPicture(
            f"The original has {picture.frame_count} frames and {format} holds one picture."
        )
    if format != picture.format:  # the number of a disposal method means something else in another format
        frames = (attrs.evolve(frame, disposal=0) for frame in frames)
    if picture.gain is not None and format != "JPEG":
        from dpip.filters.codec.gainmap import GAIN_LEFT_OUT  # few pictures have one

        picture.notices.append(GAIN_LEFT_OUT)
    result = _Result(picture, format, output, style)
    if format == "TIFF":
        return result.pages(frames), format
    frames = (_in_one_group(frame, format, picture.notices) for frame in frames)
    fitted = (attrs.evolve(frame, pixels=_fit(frame.pixels, format, picture.notices)) for frame in frames)
    if format == "JPEG":
        return result.jpegs(fitted), format
    if several or format in ("GIF", "AVIF"):
        return result.animation(_of_one_size(fitted, format)), format
    pixels, metadata = result.described(next(iter(fitted)))
    return _still(pixels, format, metadata, style), format


def _in_one_group(frame: Frame, format: str, notices: list[str]) -> Frame:
    """Leave out the bands that only TIFF holds."""
    if len(frame.groups) <= 1:
        return frame
    notices.append(f"{format} holds colours and alpha: {len(frame.groups) - 1} further bands were left out.")
    return attrs.evolve(frame, pixels=groups.split(frame.pixels, frame.groups)[0], groups=())


def _still(pixels: Pixels, format: str, metadata: Metadata, style: dict[str, Any]) -> bytes:
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
    if format == "BMP":
        return bmp.encode(pixels, metadata, style)
    return pillow.encode(pixels, format, metadata)


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


@attrs.frozen
class _Result:
    """What is to be written; the methods return the file, or what goes into it."""

    picture: Picture
    format: str
    output: dict[str, Any]
    style: dict[str, Any]

    def described(
        self, frame: Frame, metadata: Metadata | None = None, *, gain: bool = False
    ) -> tuple[Pixels, Metadata]:
        """Return pixels and metadata as the format holds them; by default the metadata are the picture's."""
        metadata = self.picture.metadata if metadata is None else metadata
        pixels, own, converted = self._coloured(frame.pixels, metadata)
        wanted = self.wanted(converted=converted, gain=gain)
        return pixels, fitting.fitted(own, _change(frame, metadata), wanted, self.picture.notices)

    def wanted(self, *, converted: bool = False, gain: bool = False) -> fitting.Wanted:
        same = self.format == self.picture.format
        return fitting.Wanted(self.format, self.output["metadata"], same, gain, converted)

    def _coloured(self, pixels: Pixels, metadata: Metadata) -> tuple[Pixels, Metadata, bool]:
        to_srgb = self.output["colour"] == "srgb"
        return colouring.fitted(pixels, metadata, self.wanted(), to_srgb, self.picture.notices)

    def pages(self, frames: Iterator[Frame]) -> bytes:
        """Write a TIFF, page by page: those before are not in memory any more as arrays."""
        from dpip.filters.codec import tiff  # see codec.decode

        first = next(frames)
        own = self.picture.format == "TIFF" and self.output["metadata"] in ("keep", fitting.WITHOUT_PLACE)
        part = attrs.evolve(first, pixels=groups.split(first.pixels, first.groups)[0])
        metadata = Metadata() if own else self.described(part)[1]
        coloured = map(self._page, chain((first,), frames))
        return tiff.encode(
            coloured, metadata, self.style, self.picture.notices, self.wanted() if own else None
        )

    def _page(self, frame: Frame) -> Frame:
        """Convert the colours of a page where that is wanted or needed."""
        metadata = self.picture.metadata
        if self.picture.format == "TIFF" and frame.origin is not None:
            metadata = attrs.evolve(metadata, icc=frame.origin.profile)
        parts = groups.split(frame.pixels, frame.groups)
        first, _, converted = self._coloured(parts[0], metadata)
        if not converted:
            return frame
        return attrs.evolve(frame, pixels=groups.joined([first, *parts[1:]]), converted=True)

    def jpegs(self, frames: Iterator[Frame]) -> bytes:
        """Write a JPEG, with its gain map if it still has one, or one for each view."""
        first = next(frames)
        if self.picture.views:
            return self._views(chain((first,), frames))
        if self.picture.gain is not None:
            return self._with_gain_map(first)
        return self._jpeg(*self.described(first))

    def _jpeg(self, pixels: Pixels, metadata: Metadata) -> bytes:
        return jpeg.encode(pixels, metadata, self.style, self.picture.notices)

    def _views(self, frames: Iterator[Frame]) -> bytes:
        """Write all views of a scene, each with its own metadata."""
        from dpip.filters.metadata import multipicture

        pictures, said = [], []
        for frame in frames:
            pictures.append(self._jpeg(*self.described(frame, frame.origin.metadata)))
            said.append(frame.origin.attributes)
        return multipicture.joined(pictures, said)

    def _with_gain_map(self, frame: Frame) -> bytes:
        from dpip.filters.codec import gainmap
        from dpip.filters.metadata import multipicture, xmp

        gain = gainmap.filtered(self.picture, frame, self.wanted(), self.output)
        pixels, metadata = self.described(frame, gain=gain is not None)
        if gain is None:
            return self._jpeg(pixels, metadata)
        if metadata.xmp:
            metadata = attrs.evolve(metadata, xmp=xmp.with_gain_map_length(metadata.xmp, len(gain)))
        said = [multipicture.Attributes(multipicture.PRIMARY), multipicture.Attributes()]
        return multipicture.joined([self._jpeg(pixels, metadata), gain], said)

    def animation(self, frames: Iterator[Frame]) -> bytes:
        """Write an animation, or a still picture in a format for both."""
        first = next(frames)
        pixels, metadata = self.described(first)
        rest = (
            attrs.evolve(frame, pixels=self._coloured(frame.pixels, self.picture.metadata)[0])
            for frame in frames
        )
        every = chain((attrs.evolve(first, pixels=pixels),), rest)
        if self.format == "GIF":
            return gif.encode(every, self.picture.loop, metadata)
        if self.format == "PNG":
            return png.encode_animation(every, self.picture, metadata)
        if self.format == "AVIF":
            from dpip.filters.codec import avif

            return avif.encode(every, self.picture, metadata, self.style)
        return webp.encode_animation(every, self.picture, metadata, self.style)


def _change(frame: Frame, metadata: Metadata) -> Change:
    height, width = frame.pixels.shape[:2]
    turn = exif.orientation(metadata.exif, metadata.xmp)
    return Change(frame.before or (width, height), (width, height), frame.area, turn, frame.along == ())


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

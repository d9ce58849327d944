"""How much memory each codec takes: to decode a frame, and to encode a result.

All numbers were measured with noise, which no format makes smaller, and rounded up; ``tests.filters.peaks``
measures again. A codec that is changed or added needs a line in ``DECODING`` and one in ``ENCODING``, and one
in ``TURNED`` if metadata may turn its pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs

from dpip.filters.codec.info import PictureInfo
from dpip.filters.output import BY_NAME
from dpip.filters.shape import Shape


@attrs.frozen
class Decoding:
    """Bytes while a frame is decoded: ``fixed``, for each of its pixels, of its bytes, and of the file's.

    They include the frame, and not the file itself. Until the next frame the decoder keeps, besides the
    frame, ``kept`` bytes for each pixel and ``kept_file`` for each of the file.
    """

    fixed: float = 0.0
    pixel: float = 0.0
    frame: float = 0.0
    file: float = 0.0
    kept: float = 0.0
    kept_file: float = 0.0

    def peak(self, frame: Shape, file: int) -> float:
        return self.fixed + self.pixel * frame.pixels + self.frame * frame.bytes + self.file * file

    def stays(self, frame: Shape, file: int) -> float:
        return self.kept * frame.pixels + self.kept_file * file


def _jpeg(info: PictureInfo) -> Decoding:
    if info.channels == 4:  # Pillow, from CMYK
        return Decoding(pixel=17)
    coefficients = 2 * info.channels * info.pixels if "progressive" in info.traits else 0
    return Decoding(fixed=coefficients, pixel=0.4, frame=1)


def _png(info: PictureInfo) -> Decoding:
    if info.frames > 1:  # Pillow, as are the next two
        return Decoding(pixel=16, file=1, kept=9)
    if "palette" in info.traits:
        return Decoding(pixel=13.5, file=1, kept=1)
    if info.bits < 8:
        return Decoding(pixel=6, file=1, kept=1)
    interlaced = 1.5 if "interlaced" in info.traits else 0
    key = 2.0 if "key" in info.traits else 0
    return Decoding(frame=2.2 + interlaced + key + (info.bits > 8), file=2)


def _tiff(info: PictureInfo) -> Decoding:
    if "raw" in info.traits and info.bits <= 16:
        return Decoding(frame=2.7, kept_file=0.5)
    return Decoding(fixed=_LZMA * ("lzma" in info.traits), frame=3.3, file=1, kept_file=0.5)


def _pillow(info: PictureInfo) -> Decoding:
    """Reckon Pillow's picture, with four bytes to a pixel in colour, and two copies of ours."""
    return Decoding(pixel=1.3 + 2.1 * info.channels + (4 if info.channels > 1 else 1))


def _avif(info: PictureInfo) -> Decoding:
    if info.bits > 8:  # imagecodecs
        return Decoding(pixel=43 if info.channels == 4 else 27, file=1, kept=8)
    alpha = 3 * (info.channels == 4)
    if info.frames > 1:
        return Decoding(pixel=29 + alpha, file=1, kept=16)
    return Decoding(pixel=13.5 + alpha, file=1)


def _pnm(info: PictureInfo) -> Decoding:
    if "bits" in info.traits:
        return Decoding(pixel=2.2, file=2)
    return Decoding(pixel=4 * info.channels if "spread" in info.traits else 0, frame=1.1)


DECODING: Mapping[str, Callable[[PictureInfo], Decoding]] = {
    "JPEG": _jpeg,
    "PNG": _png,
    "WEBP": lambda info: Decoding(pixel=28, file=1, kept=12, kept_file=1),
    "BMP": lambda info: Decoding(pixel=11.5, kept=4),
    "GIF": lambda info: Decoding(pixel=16, kept=9 if info.frames > 1 else 3),
    "TIFF": _tiff,
    "AVIF": _avif,
    # Pictures that come in several passes are kept as a whole, which the header does not tell.
    "JXL": lambda info: Decoding(pixel=8 * info.channels, frame=3.2, file=1),
    "JPEG2000": lambda info: Decoding(pixel=8.4 * info.channels, file=1),
    "QOI": lambda info: Decoding(frame=2.1),
    "PNM": _pnm,
    "PFM": lambda info: Decoding(frame=2.1),
    "TGA": _pillow,
    "HEIF": lambda info: Decoding(frame=3.1 if info.bits == 8 else 2.2, file=1),
    "DDS": _pillow,
    "ICO": lambda info: Decoding(pixel=15, file=1),
    "RAW": lambda info: Decoding(pixel=20, file=1),
}
#: Formats whose metadata may ask to turn the picture.
TURNED = frozenset({"JPEG", "PNG", "WEBP", "TIFF", "AVIF", "JPEG2000", "HEIF", "RAW"})


@attrs.frozen
class Encoding:
    """Bytes while a frame is encoded, besides the frame; ``file`` stay, as a part of the result."""

    peak: float
    file: float


def encoding(format: str, frame: Shape, info: PictureInfo, output: Mapping[str, Any]) -> Encoding:
    """Reckon what it takes to write ``frame``, a result for the picture ``info``, in that format."""
    fitted, fitting = _fit(frame, format)
    style = info.traits if format == info.format else frozenset[str]()
    written = ENCODING[format](fitted, style, output)
    copy = fitted.bytes if fitted != frame else 0
    if output.get("colour") == "srgb" or "icc" not in BY_NAME[format].metadata:
        copy += fitted.bytes  # the colours may be converted
    return attrs.evolve(written, peak=max(fitting, written.peak + copy))


def _fit(frame: Shape, format: str) -> tuple[Shape, float]:
    """Return what the frame becomes to fit the format, and the bytes that this takes (``codec.writing``)."""
    peak, able = 0.0, BY_NAME[format]
    if frame.is_float and not able.floats:
        peak = 5 * frame.bytes
        frame = attrs.evolve(frame, sample_bytes=2)
    if frame.sample_bytes == 2 and not able.deep:
        frame = attrs.evolve(frame, sample_bytes=1)
        peak = max(peak, 9 * frame.samples)
    if frame.has_alpha and not able.alpha:
        peak = max(peak, 13 * frame.samples)
        frame = attrs.evolve(frame, channels=frame.channels - 1)
    if frame.channels == 2 and not able.gray_alpha:
        frame = attrs.evolve(frame, channels=4)
        peak = max(peak, 3.5 * frame.bytes)
    return frame, peak


def _jpeg_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    """Reckon by sampling and quality, of which depends how large the file may be."""
    exact = "exact" in style if output["quality"] is None else output["quality"] > 90
    file = (1.2 if frame.channels == 1 else 3.3 if "fine" in style else 1.8) * (1 if exact else 0.6)
    coefficients = 2 * frame.channels + 2 if "progressive" in style else 0
    return Encoding((4.6 * file + coefficients) * frame.pixels, file * frame.pixels)


def _png_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding((2.6 + 0.5 * (frame.sample_bytes > 1)) * frame.bytes, 1.01 * frame.bytes)


def _webp_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    lossless = "lossless" in style and output["quality"] is None
    return Encoding((47 if lossless else 44 if frame.has_alpha else 15) * frame.pixels, 1.1 * frame.bytes)


def _bmp_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding({1: 2.2, 3: 11, 4: 6}[frame.channels] * frame.pixels, frame.bytes)


def _gif_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding({1: 7, 3: 12, 4: 21}[frame.channels] * frame.pixels, 1.4 * frame.pixels)


def _tiff_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    """Reckon by compression, LZMA's dictionary, and smaller pictures that a page has besides."""
    packed = (3.3 if "plain" in style else 5.1) * frame.bytes
    smaller = 9 * frame.samples if "levels" in style else 0
    return Encoding(packed + smaller + _LZMA * ("lzma" in style), 1.4 * frame.bytes)


def _avif_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding((21 if frame.channels == 1 else 34) * frame.pixels, 1.1 * frame.bytes)


_JXL_PART = 2048 * 2048


def _jxl_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    """Reckon what there is of each pixel, and of those of the part that is coded at once."""
    lossless = frame.sample_bytes > 1 or output["quality"] == 100
    lossless |= "lossless" in style and output["quality"] is None
    count = frame.channels
    each = 7 + frame.sample_bytes + 7 * count if lossless else 25 + 6 * count
    more = 1 + (5.5 + 4.5 * frame.sample_bytes) * count if lossless else 9 + 6 * count
    return Encoding(each * frame.pixels + more * min(frame.pixels, _JXL_PART), 1.1 * frame.bytes)


def _jpeg2000_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding((12.2 if frame.sample_bytes == 1 else 17.4) * frame.samples, 1.1 * frame.bytes)


def _qoi_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    stored = max(3, frame.channels) + 1
    return Encoding((2.1 * stored + (frame.channels < 3)) * frame.pixels, stored * frame.pixels)


def _pnm_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    copies = 3.2 if frame.sample_bytes > 1 or "bits" in style else 2.1
    return Encoding(copies * frame.bytes, frame.bytes)


def _pfm_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding(16.2 * frame.samples, 4 * frame.samples)


def _tga_written(frame: Shape, style: frozenset[str], output: Mapping[str, Any]) -> Encoding:
    return Encoding({1: 2.2, 2: 8, 3: 8.2, 4: 5.5}[frame.channels] * frame.pixels, frame.bytes)


ENCODING: Mapping[str, Callable[[Shape, frozenset[str], Mapping[str, Any]], Encoding]] = {
    "JPEG": _jpeg_written,
    "PNG": _png_written,
    "WEBP": _webp_written,
    "BMP": _bmp_written,
    "GIF": _gif_written,
    "TIFF": _tiff_written,
    "AVIF": _avif_written,
    "JXL": _jxl_written,
    "JPEG2000": _jpeg2000_written,
    "QOI": _qoi_written,
    "PNM": _pnm_written,
    "PFM": _pfm_written,
    "TGA": _tga_written,
}
_LZMA = 100 * 2**20

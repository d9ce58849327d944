"""Bytes to arrays and back: formats, colour modes, orientation, profiles, limits.

``probe`` and ``PictureInfo`` need only the standard library; the decoders are imported at first use.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING, Any

import attrs

from dpip.errors import CorruptPicture, NotAnImage, PictureTooLarge, UnsupportedPicture
from dpip.filters.codec.headers import PictureInfo, probe

if TYPE_CHECKING:
    from dpip.filters.codec.budget import DecodeBudget
    from dpip.filters.codec.picture import Frame, Picture

__all__ = ["PictureInfo", "decode", "encode", "probe"]


#: Modules that are imported when there is such a picture.
_CODECS = {
    "AVIF": "avif",
    "HEIF": "heif",
    "JXL": "jpegxl",
    "JPEG2000": "jpeg2000",
    "QOI": "qoi",
    "PNM": "netpbm",
    "PFM": "netpbm",
}


def decode(
    data: bytes, *, max_pixels: int, luma: bool = False, at_least: int = 0, raw: str = "camera"
) -> Picture:
    """Decode a file of any known format; the frames are decoded as they are iterated over.

    With ``luma`` a codec may return gray if it has the luma at hand. If ``at_least`` is not 0, it may scale
    the picture down, to that many pixels each way or more. ``raw`` says how raw photographs are developed.

    Raises PictureTooLarge, before anything is decoded, for more than ``max_pixels`` over all frames;
    CorruptPicture and UnsupportedPicture.
    """
    info = _probe(data)
    if info.pixels > max_pixels:
        frames = f" in {info.frames} frames" if info.frames > 1 else ""
        raise PictureTooLarge(
            f"The picture has {info.pixels:,} pixels{frames}; the limit is {max_pixels:,}.",
            pixels=info.pixels,
        )
    from dpip.filters.codec import pillow
    from dpip.filters.codec.budget import DecodeBudget

    budget = DecodeBudget.of(info)
    with pillow.damage_as_corrupt():
        picture = _decode(data, info, budget, luma, at_least, raw)
    return attrs.evolve(picture, frames=budget.checked(picture.frames))


def _decode(
    data: bytes, info: PictureInfo, budget: DecodeBudget, luma: bool, at_least: int, raw: str
) -> Picture:
    from dpip.filters.codec import bmp, gif, jpeg, pillow, png, webp

    if info.format == "JPEG":
        return jpeg.decode(data, budget, luma=luma, at_least=at_least)
    if info.format == "PNG":
        return png.decode(data, budget)
    if info.format == "WEBP":
        return webp.decode(data, budget)
    if info.format == "TIFF":
        from dpip.filters.codec import tiff  # it takes 40 ms to import, and most pictures are none

        return tiff.decode(data, budget)
    if info.format == "RAW":
        from dpip.filters.codec import raw as photographs

        return photographs.decode(data, budget, info, raw)
    if info.format in _CODECS:
        codec: Any = import_module(f"dpip.filters.codec.{_CODECS[info.format]}")
        picture: Picture = codec.decode(data, budget, info)
        return picture
    if info.format == "BMP":
        return bmp.decode(data, budget)
    if info.format == "GIF":
        return gif.decode(data, budget)
    return pillow.decode(data, info.format, budget)


def _probe(data: bytes) -> PictureInfo:
    try:
        return probe(data)
    except NotAnImage as problem:
        kind = CorruptPicture if problem.members.get("damaged") else UnsupportedPicture
        raise kind(problem.detail) from problem


def encode(picture: Picture, frames: Iterable[Frame], output: dict[str, Any]) -> tuple[bytes, str]:
    """Encode the frames with the picture's metadata; returns the file and the name of its format.

    ``output`` is what :func:`dpip.filters.output.validate_output` returns. Raises UnsupportedPicture for a
    result that the wanted format cannot hold.
    """
    from dpip.filters.codec import writing

    return writing.write(picture, frames, output)

"""HEIC and other HEIF pictures, read by pillow-heif: the extra ``heif``, for the licence of its decoder."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.gainmap import GAIN_LEFT_OUT
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.metadata import exif, spaces, xmp


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode the pictures of the file, the primary one first, upright, in 8 or 16 bits.

    Raises UnsupportedPicture when pillow-heif is not installed.
    """
    library = _library()
    with pillow.damage_as_corrupt():
        file = library.open_heif(io.BytesIO(data), convert_hdr_to_8bit=False)
        budget.check_count(len(file))
        first = file.primary_index
        images = [file[first], *(file[number] for number in range(len(file)) if number != first)]
        said = images[0].info
        metadata = Metadata(
            exif=exif.bare(said.get("exif")),
            icc=said.get("icc_profile") or None,
            xmp=said.get("xmp") or None,
            space=_space(said),
        )
        return Picture(
            "HEIF",
            _frames(images, budget),
            frame_count=len(images),
            metadata=metadata,
            notices=_left_out(said),
        )


def _library() -> Any:
    try:
        import pillow_heif
    except ImportError:
        raise UnsupportedPicture(
            "The file is a HEIC/HEIF picture. To read it, install pillow-heif where DPIP computes: "
            "pip install 'dpip[heif]'; or convert it to JPEG first."
        ) from None
    return pillow_heif


def _frames(images: list[Any], budget: DecodeBudget) -> Iterator[Frame]:
    with pillow.damage_as_corrupt():
        while images:
            image = images.pop(0)  # it keeps its pixels
            width, height = image.size
            budget.take_frame(width, height, _pixel_bytes(image.mode))
            yield Frame(_pixels(image))


def _pixel_bytes(mode: str) -> int:
    """Return the bytes of a pixel of a mode such as ``RGB;16``."""
    return len(mode.partition(";")[0]) * (2 if ";" in mode else 1)


def _pixels(image: Any) -> Pixels:
    pixels = np.asarray(image)
    if image.mode.startswith(("RGBa", "La")):
        raise UnsupportedPicture("Pictures whose colours are multiplied by their alpha are not filtered.")
    pixels = pixels[..., 0] if pixels.ndim == 3 and pixels.shape[2] == 1 else pixels
    return np.ascontiguousarray(pixels)


def _left_out(said: dict[str, Any]) -> list[str]:
    notices = []
    if said.get("depth_images"):
        notices.append(xmp.DEPTH_LEFT_OUT)
    if any("gainmap" in kind.lower() for kind in said.get("aux") or ()):
        notices.append(GAIN_LEFT_OUT)
    return notices


def _space(said: dict[str, Any]) -> spaces.Space | None:
    profile = said.get("nclx_profile")
    if not profile or said.get("icc_profile"):
        return None
    return spaces.of_code(profile["color_primaries"], profile["transfer_characteristics"])

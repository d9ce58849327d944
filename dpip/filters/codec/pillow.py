"""Pillow as the codec for everything without a faster one; it also decides which files are damaged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import attrs
import numpy as np
from PIL import Image, UnidentifiedImageError

from dpip.errors import CorruptPicture, PictureError, UnsupportedPicture
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.indexed import Indexed
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.upright import upright
from dpip.filters.metadata import exif

# We check the number of pixels before Pillow sees the file; its own limit is lower than our default.
Image.MAX_IMAGE_PIXELS = None

COMMENT = b"comment"  # of a GIF
_LONGEST_REASON = 200  # characters

#: Pillow's modes, and those to convert them to for the filters; others are refused.
_AS_SHOWN = {
    "1": "L",
    "L": "L",
    "LA": "LA",
    "La": "LA",
    "RGB": "RGB",
    "RGBX": "RGB",
    "RGBA": "RGBA",
    "RGBa": "RGBA",
    "PA": "RGBA",
    "YCbCr": "RGB",
    "CMYK": "RGB",
}
#: How many colours pictures of these modes have at most.
_COLOURS = {"1": 2, "P": 256}


@contextmanager
def damage_as_corrupt() -> Iterator[None]:
    """Turn whatever a decoder raises into CorruptPicture, but for MemoryError.

    Raises UnsupportedPicture for what Pillow says it does not support.
    """
    try:
        yield
    except (PictureError, MemoryError):
        raise
    except Exception as problem:  # Pillow's plug-ins raise OSError, SyntaxError, struct.error, KeyError, ...
        if isinstance(problem, OSError) and str(problem).startswith("Unsupported"):
            raise UnsupportedPicture(f"This kind of picture is not read: {_reason(problem)}.") from problem
        raise CorruptPicture(f"The picture is damaged or cut short ({_reason(problem)}).") from problem


def _reason(problem: Exception) -> str:
    """Return what Pillow says, if it is meant for people, in at most one line."""
    if isinstance(problem, UnidentifiedImageError):  # its text names an object in memory
        return "its header makes no sense"
    if not isinstance(problem, OSError | SyntaxError) or not str(
        problem
    ):  # Pillow did not expect these bytes
        return "its parts do not fit together"
    return str(problem)[:_LONGEST_REASON]


def decode(data: bytes, format: str, budget: DecodeBudget) -> Picture:
    """Decode ``data``, a file of that format.

    Raises CorruptPicture, also while its frames are read, if it is damaged or cut short; UnsupportedPicture
    for pixels that are not whole numbers of 8 or 16 bits.
    """
    with damage_as_corrupt():
        image = Image.open(io.BytesIO(data), formats=(format,))
        if image.mode in ("I", "F"):
            kind = "signed or 32-bit whole numbers" if image.mode == "I" else "floating point numbers"
            raise UnsupportedPicture(f"The picture holds {kind}; DPIP filters 8 and 16 bits per channel.")
        metadata = _metadata(image)
        count = getattr(image, "n_frames", 1) if format in ("GIF", "PNG", "WEBP", "AVIF") else 1
        budget.check_count(count)
        return Picture(
            format=format,
            frames=_frames(image, count, exif.orientation(metadata.exif, metadata.xmp), budget),
            frame_count=count,
            metadata=attrs.evolve(metadata, icc=None) if image.mode in ("CMYK", "LAB") else metadata,
            loop=image.info.get("loop"),
            style={"colours": _COLOURS[image.mode]} if image.mode in _COLOURS else {},
        )


def _frames(image: Image.Image, count: int, turn: int, budget: DecodeBudget) -> Iterator[Frame]:
    with damage_as_corrupt():
        width, height = image.size
        for number in range(count):
            image.seek(number)
            budget.take_frame(*image.size, _pixel_bytes(image))
            image.load()
            pixels = _pixels(image)
            if image.format == "GIF":  # a later frame is cut at the screen's edges
                pixels = pixels[:height, :width]
            yield Frame(
                upright(pixels, turn),
                duration=image.info.get("duration", 0),
                disposal=_disposal(image),
                hidden=number == 0 and count > 1 and bool(image.info.get("default_image")),
            )


def _disposal(image: Image.Image) -> int:
    return int(getattr(image, "disposal_method", image.info.get("disposal", 0)))


def _pixels(image: Image.Image) -> Pixels:
    """Return the frame as it is shown: palettes looked up, colour keys turned into alpha, CMYK into RGB."""
    target = _shown_mode(image)
    if target == "I;16":
        wide = np.asarray(image)
        return np.ascontiguousarray(wide, dtype=np.uint16)
    if image.mode == "CMYK" and image.info.get("icc_profile"):
        image = _to_srgb(image, image.info["icc_profile"])
    if image.mode in ("La", "1") and target == "LA":
        image = image.convert("L") if image.mode == "1" else image.convert("LA")
    if image.mode != target:
        image = image.convert(target)
    return np.asarray(image)


def _shown_mode(image: Image.Image) -> str:
    """Return the mode in which the frame is shown. Raises UnsupportedPicture."""
    mode = image.mode
    if mode.startswith("I;16"):
        return "I;16"
    transparent = "transparency" in image.info
    if mode == "P":
        return "RGBA" if transparent else "RGB"
    if transparent and mode in ("1", "L", "RGB"):
        return "RGBA" if mode == "RGB" else "LA"
    if mode not in _AS_SHOWN:
        raise UnsupportedPicture(f"Pictures of the kind {mode} are not filtered.")
    return _AS_SHOWN[mode]


def _pixel_bytes(image: Image.Image) -> int:
    mode = _shown_mode(image)
    return 2 if mode == "I;16" else len(mode)  # L, LA, RGB, RGBA


def in_rgb(samples: Pixels, mode: str, profile: bytes | None) -> Pixels:
    """Turn uint8 samples, H x W x C, of CMYK or of LAB as TIFF has it, into RGB."""
    image = Image.frombytes(mode, (samples.shape[1], samples.shape[0]), samples.tobytes())
    if mode == "LAB" or profile:
        image = _to_srgb(image, profile)
    return np.asarray(image.convert("RGB"))


def _to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Convert CMYK by its embedded profile, and LAB, which needs none.

    Without a profile that works CMYK is returned as it is: Pillow has a plain formula for it.
    """
    from PIL import ImageCms  # few pictures need it

    try:
        embedded = io.BytesIO(profile or b"")
        lab = image.mode == "LAB"
        known = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(embedded)
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, known, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


def orientation(image: Image.Image) -> int:
    """Return the orientation of a file that Pillow has opened, 1 to 8 as in EXIF."""
    found = _metadata(image)
    return exif.orientation(found.exif, found.xmp)


def _metadata(image: Image.Image) -> Metadata:
    info = image.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    dpi = info.get("dpi")
    return Metadata(
        exif=exif.bare(info.get("exif")),
        icc=info.get("icc_profile") or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
        extra=((COMMENT, info["comment"]),) if image.format == "GIF" and info.get("comment") else (),
    )


def encode(pixels: Pixels, format: str, metadata: Metadata, **options: Any) -> bytes:
    """Encode one still picture in that format (not PNG or TIFF), with Pillow's own save options."""
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, format, **metadata_options(metadata, format), **options)
    return out.getvalue()


def encode_indexed(picture: Indexed, format: str, metadata: Metadata) -> bytes:
    """Encode a picture of few colours, without alpha: in black and white as bits."""
    table = np.repeat(picture.table, 3, axis=1) if picture.table.shape[1] == 1 else picture.table
    if picture.bits == 1 and sorted(table.tolist()) == [[0] * 3, [255] * 3]:
        white = table.tolist().index([255] * 3)
        image = Image.fromarray(picture.numbers == white)
    else:
        image = Image.fromarray(picture.numbers)
        image.putpalette(table.tobytes())
    out = io.BytesIO()
    image.save(out, format, **metadata_options(metadata, format))
    return out.getvalue()


def metadata_options(metadata: Metadata, format: str) -> dict[str, Any]:
    """Return Pillow's save options for the metadata."""
    options: dict[str, Any] = {}
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if metadata.exif:
        options["exif"] = b"Exif\x00\x00" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    return options

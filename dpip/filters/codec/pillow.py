"""Pillow as the codec for everything without a faster way, and the judge of what is damaged."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from PIL import Image, ImageCms, UnidentifiedImageError
from PIL.ExifTags import IFD

from dpip.errors import CorruptPicture, PictureError, UnsupportedPicture
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.metadata import bare_exif, orientation, reset_orientation, upright
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.output import FORMATS

# The limit on pixels is ours, checked before Pillow sees the file; Pillow's own is lower than our default and
# warns.
Image.MAX_IMAGE_PIXELS = None

_LONGEST_REASON = 200  # characters
_XMP = 700  # its tag in a TIFF

#: Directories of their own inside EXIF: what the camera says, and where it was.
DIRECTORIES = {IFD.Exif, IFD.GPSInfo}

#: How Pillow's modes become arrays that the filters know; the others are refused.
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
    "LAB": "RGB",
    "CMYK": "RGB",
}


@contextmanager
def damage_as_corrupt() -> Iterator[None]:
    """Whatever broken bytes make a decoder raise becomes CorruptPicture; running out of memory does not."""
    try:
        yield
    except (PictureError, MemoryError):
        raise
    except Exception as problem:  # Pillow's plug-ins raise OSError, SyntaxError, struct.error, KeyError, ...
        if isinstance(problem, OSError) and str(problem).startswith("Unsupported"):
            raise UnsupportedPicture(f"This kind of picture is not read: {_told(problem)}.") from problem
        raise CorruptPicture(f"The picture is damaged or cut short ({_told(problem)}).") from problem


def _told(problem: Exception) -> str:
    """What Pillow says where that is meant for people, and no more of it than fits a line."""
    if isinstance(problem, UnidentifiedImageError):  # it would name an object in memory
        return "its header makes no sense"
    if not isinstance(problem, OSError | SyntaxError) or not str(problem):  # bad bytes that nobody looked for
        return "its parts do not fit together"
    return str(problem)[:_LONGEST_REASON]


def decode(data: bytes, format: str, budget: DecodeBudget) -> Picture:
    """The picture in ``data``, a file of that format.

    :raises CorruptPicture: (also while its frames are read) where it is damaged or cut short.
    :raises UnsupportedPicture: for pixels that are neither 8 nor 16 bit whole numbers.
    """
    with damage_as_corrupt():
        image = Image.open(io.BytesIO(data), formats=FORMATS)
        if image.mode in ("I", "F"):
            kind = "signed or 32-bit whole numbers" if image.mode == "I" else "floating point numbers"
            raise UnsupportedPicture(f"The picture holds {kind}; DPIP filters 8 and 16 bits per channel.")
        metadata = _metadata(image)
        count = getattr(image, "n_frames", 1) if format in ("GIF", "PNG", "WEBP", "TIFF") else 1
        budget.check_count(count)
        return Picture(
            format=format,
            frames=_frames(image, count, 1 if format == "TIFF" else orientation(metadata.exif), budget),
            frame_count=count,
            metadata=_upright_metadata(metadata, image),
            loop=image.info.get("loop"),
            style=_style(image),
        )


def _frames(image: Image.Image, count: int, turn: int, budget: DecodeBudget) -> Iterator[Frame]:
    with damage_as_corrupt():
        width, height = image.size
        for number in range(count):
            image.seek(number)
            budget.take_frame(*image.size)
            image.load()
            pixels = _pixels(image)
            if image.format == "GIF":  # what a later frame has outside is not shown
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
    """The frame as it is shown: palettes looked up, colour keys turned into alpha, CMYK into RGB."""
    mode = image.mode
    if mode.startswith("I;16"):
        wide = np.asarray(image)
        return np.ascontiguousarray(wide, dtype=np.uint16)
    transparent = "transparency" in image.info
    if mode == "P":
        target = "RGBA" if transparent else "RGB"
    elif transparent and mode in ("1", "L", "RGB"):
        target = "RGBA" if mode == "RGB" else "LA"
    elif mode in _AS_SHOWN:
        target = _AS_SHOWN[mode]
    else:
        raise UnsupportedPicture(f"Pictures of the kind {mode} are not filtered.")
    if mode == "LAB" or (mode == "CMYK" and image.info.get("icc_profile")):
        image = _to_srgb(image)
    if image.mode in ("La", "1") and target == "LA":
        image = image.convert("L") if image.mode == "1" else image.convert("LA")
    if image.mode != target:
        image = image.convert(target)
    return np.asarray(image)


def _to_srgb(image: Image.Image) -> Image.Image:
    """By the embedded profile; without one that works, CMYK is left to Pillow's plain formula. What LAB means
    needs no profile."""
    try:
        embedded = io.BytesIO(image.info.get("icc_profile") or b"")
        lab = image.mode == "LAB"
        known = ImageCms.createProfile("LAB") if lab else ImageCms.ImageCmsProfile(embedded)
        srgb = ImageCms.createProfile("sRGB")
        converted = ImageCms.profileToProfile(image, known, srgb, outputMode="RGB")
    except (ImageCms.PyCMSError, OSError, ValueError):
        return image
    return image if converted is None else converted


def _metadata(image: Image.Image) -> Metadata:
    info = image.info
    xmp = info.get("xmp") or info.get("XML:com.adobe.xmp")
    dpi = info.get("dpi")
    return Metadata(
        exif=bare_exif(_tiff_exif(image) if image.format == "TIFF" else info.get("exif")),
        icc=info.get("icc_profile") or None,
        xmp=xmp.encode() if isinstance(xmp, str) else xmp or None,
        dpi=(float(dpi[0]), float(dpi[1])) if dpi else None,
    )


# What says how a TIFF is stored or what its pixels are; the rest describes the picture and is kept.
_TIFF_STRUCTURE = frozenset(
    {
        254,
        255,
        256,
        257,
        258,
        259,
        262,
        263,
        264,
        265,
        266,
        273,
        274,
        277,
        278,
        279,
        280,
        281,
        282,
        283,
        284,
        288,
        289,
    }
    | {
        290,
        291,
        292,
        293,
        296,
        301,
        317,
        318,
        319,
        320,
        321,
        322,
        323,
        324,
        325,
        330,
        332,
        333,
        334,
        336,
        338,
        339,
    }
    | {340, 341, 342, 347, 512, 513, 514, 515, 517, 518, 519, 520, 521, 529, 530, 531, 532, 700, 34675}
)


def _tiff_exif(image: Image.Image) -> bytes | None:
    exif = image.getexif()
    kept = Image.Exif()
    kept.update({tag: value for tag, value in exif.items() if tag not in _TIFF_STRUCTURE})
    for tag in DIRECTORIES & kept.keys():  # until now only a place in the original's file
        kept[tag] = directory(exif, tag)
    return kept.tobytes() if kept else None


def directory(exif: Image.Exif, tag: int) -> dict[int, Any]:
    """The one within ``exif``, with the one that may be within that."""
    found = exif.get_ifd(tag)
    if IFD.Interop in found:
        found = {**found, IFD.Interop: exif.get_ifd(IFD.Interop)}
    return found


def _upright_metadata(metadata: Metadata, image: Image.Image) -> Metadata:
    icc = metadata.icc if image.mode not in ("CMYK", "LAB") else None
    return Metadata(reset_orientation(metadata.exif), icc, metadata.xmp, metadata.dpi, metadata.extra)


def _style(image: Image.Image) -> dict[str, Any]:
    if image.format == "TIFF":
        return {"compression": image.info.get("compression", "raw")}
    return {}


def encode(pixels: Pixels, format: str, metadata: Metadata, **options: Any) -> bytes:
    """One still picture as a file of that format (not PNG), with Pillow's own save options."""
    out = io.BytesIO()
    to_image(pixels).save(out, format, **keep(metadata, format), **options)
    return out.getvalue()


def keep(metadata: Metadata, format: str) -> dict[str, Any]:
    """Pillow's save options that carry the metadata over."""
    options: dict[str, Any] = {}
    if metadata.dpi:
        options["dpi"] = metadata.dpi
    if metadata.icc:
        options["icc_profile"] = metadata.icc
    if format == "TIFF":
        return {**options, "exif": _tiff_tags(metadata)}
    if metadata.exif:
        options["exif"] = b"Exif\x00\x00" + metadata.exif
    if metadata.xmp:
        options["xmp"] = metadata.xmp
    return options


def _tiff_tags(metadata: Metadata) -> Image.Exif:
    """EXIF and XMP as tags of a page, without the directories: :mod:`dpip.filters.codec.tiff` adds them."""
    tags = Image.Exif()
    tags.load(metadata.exif or b"")
    for tag in DIRECTORIES & tags.keys():
        del tags[tag]
    if metadata.xmp:
        tags[_XMP] = metadata.xmp
    return tags


def to_image(pixels: Pixels) -> Image.Image:
    """An 8-bit array, or a gray 16-bit one, as Pillow's image."""
    return Image.fromarray(pixels)

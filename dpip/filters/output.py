"""The ``output`` options of a workload, and the formats that results may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from dpip.errors import BadParameter
from dpip.filters.schema import Parameter, shown


@attrs.frozen
class FileFormat:
    """A file format: the first of ``extensions`` replaces one that does not fit.

    ``deep`` formats hold 16 bits per channel, ``many`` several pictures; ``side`` is the longest that fits.
    One that is not ``written`` has ``becomes``: what its results are by default.
    """

    name: str
    content_type: str
    extensions: tuple[str, ...]
    many: bool = False
    deep: bool = False
    floats: bool = False
    alpha: bool = True
    gray_alpha: bool = False
    side: int | None = None
    #: What it holds besides pixels, of "exif", "icc", "xmp", "extended" (XMP's second packet), "photoshop"
    #: (which IPTC is a part of), "dpi", "aspect" (the shape of a pixel), "space" (colours by numbers).
    metadata: frozenset[str] = frozenset()
    becomes: str = ""

    @property
    def written(self) -> bool:
        return not self.becomes

    def of_result(self, frames: int, deep: bool, alpha: bool) -> str:
        """Return the name of the format of results that ask for none: one that loses nothing.

        ``deep`` says that a result has more than 8 bits per channel.
        """
        if self.written:
            return self.name
        if frames > 1:
            return "TIFF"
        wanted = BY_NAME[self.becomes]
        return wanted.name if (wanted.deep or not deep) and (wanted.alpha or not alpha) else "PNG"


_MOST = frozenset({"exif", "icc", "xmp"})
_DENSITY = frozenset({"dpi", "aspect"})
_RAW_EXTENSIONS = (
    *(".dng", ".nef", ".nrw", ".cr2", ".cr3", ".arw", ".sr2", ".raf", ".rw2", ".orf", ".pef", ".srw"),
    *(".3fr", ".erf", ".kdc", ".dcr", ".mrw", ".mef", ".mos", ".rwl"),
)

#: Every format that is read. Names are Pillow's where it has one; :data:`SPELLINGS` are understood, too.
TABLE = (
    FileFormat(
        *("JPEG", "image/jpeg", (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo")),
        alpha=False,
        side=65535,
        metadata=_MOST | _DENSITY | {"extended", "photoshop"},
    ),
    FileFormat(
        *("PNG", "image/png", (".png", ".apng")),
        many=True,
        deep=True,
        gray_alpha=True,
        metadata=_MOST | _DENSITY | {"space"},
    ),
    FileFormat("WEBP", "image/webp", (".webp",), many=True, side=16383, metadata=_MOST),
    FileFormat("BMP", "image/bmp", (".bmp", ".dib"), metadata=frozenset({"dpi", "icc"})),
    FileFormat(
        "GIF", "image/gif", (".gif",), many=True, side=65535, metadata=frozenset({"icc", "xmp", "aspect"})
    ),
    FileFormat(
        *("TIFF", "image/tiff", (".tif", ".tiff")),
        many=True,
        deep=True,
        floats=True,
        gray_alpha=True,
        metadata=_MOST | _DENSITY | {"photoshop"},
    ),
    FileFormat("AVIF", "image/avif", (".avif", ".avifs"), many=True, side=65535, metadata=_MOST),
    FileFormat(
        "JXL", "image/jxl", (".jxl",), deep=True, gray_alpha=True, metadata=frozenset({"exif", "xmp"})
    ),
    FileFormat(
        *("JPEG2000", "image/jp2", (".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx")),
        deep=True,
        gray_alpha=True,
        metadata=_MOST,
    ),
    FileFormat("QOI", "image/qoi", (".qoi",)),
    FileFormat(
        *("PNM", "image/x-portable-anymap", (".pnm", ".ppm", ".pgm", ".pbm", ".pam")),
        deep=True,
        gray_alpha=True,
    ),
    FileFormat("PFM", "image/x-portable-floatmap", (".pfm",), deep=True, floats=True, alpha=False),
    FileFormat("TGA", "image/x-tga", (".tga", ".icb", ".vda", ".vst"), gray_alpha=True, side=65535),
    FileFormat(
        *("HEIF", "image/heic", (".heic", ".heif", ".hif", ".heics", ".heifs")), many=True, becomes="JPEG"
    ),
    FileFormat("DDS", "image/vnd-ms.dds", (".dds",), becomes="PNG"),
    FileFormat("ICO", "image/vnd.microsoft.icon", (".ico", ".cur"), becomes="PNG"),
    FileFormat("RAW", "image/x-dcraw", _RAW_EXTENSIONS, becomes="TIFF"),
)
BY_NAME = {format.name: format for format in TABLE}
#: Those that results may have.
FORMATS = tuple(format.name for format in TABLE if format.written)
CONTENT_TYPES = {format.name: format.content_type for format in TABLE}
#: By content type; the first replaces an extension that does not fit.
EXTENSIONS = {format.content_type: format.extensions for format in TABLE}
SPELLINGS = {
    "JPG": "JPEG",
    "TIF": "TIFF",
    "APNG": "PNG",
    "JPEGXL": "JXL",
    "JP2": "JPEG2000",
    "J2K": "JPEG2000",
    **dict.fromkeys(("PPM", "PGM", "PBM", "PAM"), "PNM"),
}
#: Formats whose files get smaller, and coarser, with a lower quality.
WITH_QUALITY = ("JPEG", "WEBP", "AVIF", "JXL", "JPEG2000")

OPTIONS = (
    Parameter(
        "format", "choice", None, "File format of the result; by default the original's.", choices=FORMATS
    ),
    Parameter(
        "quality",
        "integer",
        None,
        "Quality of JPEG, WebP, AVIF, JXL and JPEG2000; by default the original's.",
        minimum=1,
        maximum=100,
    ),
    Parameter(
        "metadata",
        "choice",
        "keep",
        "Keep EXIF, XMP, IPTC and comments, leave them out, leave out only where the picture was taken, or "
        "keep only whose it is.",
        choices=("keep", "strip", "strip-location", "copyright-only"),
    ),
    Parameter(
        "colour",
        "choice",
        "keep",
        "Keep the original's colours with their profile, or convert them to sRGB.",
        choices=("keep", "srgb"),
    ),
    Parameter(
        "max_bytes",
        "integer",
        None,
        "Bytes that the file may have at most: its quality is lowered for it, then its size.",
        minimum=500,
        maximum=10**12,
    ),
    Parameter(
        "raw",
        "choice",
        "camera",
        "How raw photographs are developed: with the camera's white balance, with one from the picture, or "
        "with the camera's and in linear light without brightening.",
        choices=("camera", "auto", "linear"),
    ),
)


def validate_output(output: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return all options, with None where the original decides.

    Raises BadParameter for an unknown option or value.
    """
    output = {} if output is None else output
    if not isinstance(output, Mapping):
        raise BadParameter(f"output must be an object; {shown(output)} was given.", parameter="output")
    known = [option.name for option in OPTIONS]
    for name in output:
        if name not in known:
            raise BadParameter(
                f"output has {', '.join(known)}; {shown(name)} was given.",
                parameter=f"output.{name}",
            )
    given = dict(output)
    if isinstance(given.get("format"), str):
        word = given["format"].upper()
        given["format"] = SPELLINGS.get(word, word)
    return {option.name: option.parse(given.get(option.name, option.default)) for option in OPTIONS}

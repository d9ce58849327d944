"""The ``output`` options of a workload, and the formats that results may have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from dpip.errors import BadParameter
from dpip.filters.schema import Parameter, shown

#: Format names are Pillow's; "jpg" and "tif" are understood.
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")
CONTENT_TYPES = {
    "JPEG": "image/jpeg",
    "PNG": "image/png",
    "WEBP": "image/webp",
    "BMP": "image/bmp",
    "GIF": "image/gif",
    "TIFF": "image/tiff",
}
#: By content type; the first replaces an extension that does not fit.
EXTENSIONS = {
    "image/jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"),
    "image/png": (".png", ".apng"),
    "image/webp": (".webp",),
    "image/bmp": (".bmp", ".dib"),
    "image/gif": (".gif",),
    "image/tiff": (".tif", ".tiff"),
}
#: Formats whose files get smaller, and coarser, with a lower quality.
WITH_QUALITY = ("JPEG", "WEBP")
_SPELLINGS = {"JPG": "JPEG", "TIF": "TIFF", "APNG": "PNG"}

OPTIONS = (
    Parameter(
        "format", "choice", None, "File format of the result; by default the original's.", choices=FORMATS
    ),
    Parameter(
        "quality",
        "integer",
        None,
        "Quality of JPEG and WebP; by default the original's.",
        minimum=1,
        maximum=100,
    ),
    Parameter(
        "metadata", "choice", "keep", "Keep or strip EXIF, XMP and comments.", choices=("keep", "strip")
    ),
    Parameter(
        "max_bytes",
        "integer",
        None,
        "Bytes that the file may have at most: its quality is lowered for it, then its size.",
        minimum=500,
        maximum=10**12,
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
        given["format"] = _SPELLINGS.get(word, word)
    return {option.name: option.parse(given.get(option.name, option.default)) for option in OPTIONS}

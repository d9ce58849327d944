"""Clients' file names, made harmless: for Content-Disposition and for archives, never for our own disk."""

from __future__ import annotations

import re
import unicodedata
from typing import Final
from urllib.parse import quote

from dpip.filters.output import EXTENSIONS

PICTURE_TYPES: Final = tuple(sorted(EXTENSIONS))
"""The content types of all pictures that are taken or given."""

_MAX_LENGTH = 120  # characters …
_MAX_BYTES = 200  # … and bytes in UTF-8: file systems have names of 255, and archives number theirs

_MAX_DEPTH = 16  # folders of an archive within each other

_FORBIDDEN = re.compile(r'[<>:"|?*\\/]')
_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[\d¹²³])\s*(\.|$)", re.IGNORECASE)


def safe_name(name: str | None, fallback: str, content_type: str) -> str:
    """Return a file name with the content's extension, without path, control characters and reserved names.

    >>> safe_name("../../etc/passwd", "01j", "image/png")
    'passwd.png'
    """
    base = _printable(re.split(r"[/\\]", name or "")[-1])
    stem, extension = _split(base, EXTENSIONS.get(content_type, ("",)))
    return plain_name(stem, fallback) + extension


def safe_path(name: str | None, fallback: str, content_type: str) -> str:
    """Return :func:`safe_name` in the folders that a client has named; without those that lead elsewhere.

    No folder is called like a file, whatever their order: pictures have an extension that folders lose.

    >>> safe_path("rome/day 1/a.png", "01j", "image/png")
    'rome/day 1/a.png'
    """
    *folders, last = (name or "").split("/")
    if len(folders) > _MAX_DEPTH or any(part.strip(" .") == "" or "\\" in part for part in folders):
        folders = []
    return "/".join([*map(_folder, folders), safe_name(last, fallback, content_type)])


def _folder(name: str) -> str:
    plain = plain_name(name, "_")
    suffix = "." + plain.rpartition(".")[2]
    return plain + "_" if any(suffix.lower() in known for known in EXTENSIONS.values()) else plain


def plain_name(text: str, fallback: str) -> str:
    """Return any text as a file name without extension."""
    kept = _printable(text)[:_MAX_LENGTH].encode()[:_MAX_BYTES].decode(errors="ignore")
    stem = kept.strip(" .") or fallback
    return "_" + stem if _RESERVED.match(stem) else stem


def _printable(text: str) -> str:
    kept = "".join(
        c for c in text if unicodedata.category(c)[0] != "C" and unicodedata.category(c) not in ("Zl", "Zp")
    )
    return _FORBIDDEN.sub("_", kept).strip(" .")


def content_disposition(name: str, how: str = "inline") -> str:
    """Return the header's value (RFC 6266): a plain name for old clients, and the true one in UTF-8.

    ``how`` is ``inline`` or ``attachment``.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode()
    plain = re.sub(r'["\\%]', "_", plain) or "image"
    if plain == name:
        return f'{how}; filename="{name}"'
    return f"{how}; filename=\"{plain}\"; filename*=UTF-8''{quote(name, safe='')}"


def _split(base: str, allowed: tuple[str, ...]) -> tuple[str, str]:
    """Return stem and extension; an extension of another picture format gives way to the true one."""
    stem, dot, suffix = base.rpartition(".")
    if not dot:
        return base, allowed[0]
    extension = "." + suffix
    if extension.lower() in allowed:
        return stem, extension
    if any(extension.lower() in known for known in EXTENSIONS.values()):
        return stem, allowed[0]
    return base, allowed[0]

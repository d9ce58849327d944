"""Pictures that are quick to make, and a filter whose result proves which original it came from."""

from __future__ import annotations

import hashlib
import json
import struct
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PIXEL = zlib.compress(b"\0\0")


def picture(words: str, padding: int = 0) -> bytes:
    """A PNG of one grey pixel that carries these words, and so many bytes besides."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)
    comment = b"Comment\0" + words.encode("latin-1")
    filling = hashlib.sha256(words.encode()).digest() * (padding // 32)
    chunks = ((b"IHDR", header), (b"tEXt", comment), (b"xxPd", filling), (b"IDAT", _PIXEL), (b"IEND", b""))
    return _SIGNATURE + b"".join(_chunk(kind, data) for kind, data in chunks if data or kind == b"IEND")


def filtered(
    original: bytes, steps: Sequence[Sequence[Any]], versions: Mapping[str, str], fingerprint: str
) -> bytes:
    """What the stand-in filters, in these versions, make of an original in an engine of this fingerprint."""
    names = json.dumps([(name, versions[name]) for name, _ in steps] + [fingerprint])
    return picture(f"{names} of {hashlib.sha256(original).hexdigest()}", 64 * (len(original) % 7))


def poison(kind: str, words: str) -> bytes:
    """A picture that the filter crashes on, hangs on, or refuses."""
    return picture(f"{kind}! {words}")


def nature(original: bytes) -> str:
    """``crash``, ``hang``, ``refuse``, or nothing special."""
    for kind in ("crash", "hang", "refuse"):
        if f"Comment\0{kind}!".encode() in original:
            return kind
    return ""


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

"""The segments of a JPEG that say something besides its pixels: read, and put around another's pixels.

Sources: ITU-T T.81, JFIF 1.02, EXIF 2.32, the XMP specification, part 3, ICC.1 annex B.4.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

import attrs

from dpip.filters.metadata.parts import Metadata

APP0, APP1, APP2, APP13, APP14, DQT, SOS, EOI, COM = 0xE0, 0xE1, 0xE2, 0xED, 0xEE, 0xDB, 0xDA, 0xD9, 0xFE
_EXIF = b"Exif\x00\x00"
XMP = b"http://ns.adobe.com/xap/1.0/\x00"
_EXTENDED = b"http://ns.adobe.com/xmp/extension/\x00"
ICC = b"ICC_PROFILE\x00"
_PHOTOSHOP = b"Photoshop 3.0\x00"
MPF = b"MPF\x00"
#: ISO 21496-1: how a gain map is to be applied; in the picture itself it says that there is one.
ISO_GAIN_MAP = b"urn:iso:std:iso:ts:21496:-1\x00"
LONGEST = 65533
_ACROSS_UNITS = {1: 1.0, 2: 2.54}  # to dots per inch
_PACKETS = 8  # second ones, of which one counts
_MARKER = re.compile(rb"\xff[^\xff]")
#: By how they begin: segments that need no word when they go, for they tell of the coding, or are thumbnails.
_SILENT = (
    (APP0, b""),
    (APP14, b"Adobe"),
    (0xEC, b"Ducky"),
    (APP2, MPF),
    (APP2, b"FPXR\0"),
    (APP2, ISO_GAIN_MAP),
)
_NAMES = ((0xEB, b"JP", "Content credentials (C2PA)"), (APP1, b"FLIR\0", "The data of a FLIR camera"))


def walk(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield (marker, start, end) of the contents of every segment up to the start of scan.

    What lies between segments is skipped; the last may be cut short.
    """
    position = 2
    while found := _MARKER.search(data, position):
        position = found.end()
        marker = data[position - 1]
        if marker <= 0x01 or 0xD0 <= marker <= 0xD7:  # these have no length; 0 is data and no marker
            continue
        if marker == SOS or position + 2 > len(data):
            return
        (length,) = struct.unpack_from(">H", data, position)
        yield marker, position + 2, min(len(data), position + max(length, 2))
        position += max(length, 2)


def segments(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield (marker, contents) of every segment up to the start of scan, as far as the file is whole."""
    for marker, start, end in walk(data):
        yield marker, data[start:end]


def read(parts: list[tuple[int, bytes]]) -> tuple[Metadata, list[str]]:
    """Return the metadata, and notices of what is not understood."""
    found = _JpegParts()
    for marker, payload in parts:
        found.take(marker, payload)
    profile = b"".join(found.icc[number] for number in sorted(found.icc))
    metadata = Metadata(
        found.exif,
        profile or None,
        found.xmp,
        found.dpi,
        tuple(found.extra),
        found.extended(),
        b"".join(found.photoshop) or None,
        found.aspect,
    )
    return metadata, found.notices


@attrs.define
class _JpegParts:
    exif: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    aspect: tuple[float, float] | None = None
    icc: dict[int, bytes] = attrs.field(factory=dict)
    photoshop: list[bytes] = attrs.field(factory=list)
    extra: list[tuple[int, bytes]] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)
    _pieces: dict[bytes, dict[int, bytes]] = attrs.field(factory=dict)

    def take(self, marker: int, payload: bytes) -> None:
        if marker == APP1 and payload.startswith(_EXIF):
            self.exif = self.exif or payload[len(_EXIF) :]
        elif marker == APP1 and payload.startswith(XMP):
            self.xmp = payload[len(XMP) :]
        elif marker == APP1 and payload.startswith(_EXTENDED):
            self._take_extended(payload[len(_EXTENDED) :])
        elif marker == APP2 and payload.startswith(ICC) and len(payload) > 14:
            self.icc[payload[12]] = payload[14:]
        elif marker == APP0 and payload.startswith(b"JFIF\x00") and len(payload) >= 12:
            self._take_density(*struct.unpack_from(">BHH", payload, 7))
        elif marker == APP13 and payload.startswith(_PHOTOSHOP):
            self.photoshop.append(payload[len(_PHOTOSHOP) :])
        elif marker == COM or (marker == APP2 and payload.startswith(ISO_GAIN_MAP)):
            self.extra.append((marker, payload))
        elif 0xE0 <= marker <= 0xEF and not payload.startswith(
            tuple(start for known, start in _SILENT if known == marker)
        ):
            self.notices.append(f"{_name(marker, payload)} of the original was left out.")

    def _take_density(self, unit: int, across: int, down: int) -> None:
        if unit in _ACROSS_UNITS and across and down:
            self.dpi = across * _ACROSS_UNITS[unit], down * _ACROSS_UNITS[unit]
        elif unit == 0 and across and down and across != down:
            self.aspect = float(across), float(down)

    def _take_extended(self, payload: bytes) -> None:
        if len(payload) > 40 and len(self._pieces) < _PACKETS:
            (place,) = struct.unpack_from(">I", payload, 36)
            self._pieces.setdefault(payload[:36], {})[place] = payload[40:]

    def extended(self) -> bytes | None:
        """Put together the second packet, if all of it is there, and the first names it."""
        for head, pieces in self._pieces.items():
            whole = b"".join(pieces[place] for place in sorted(pieces))
            (length,) = struct.unpack_from(">I", head, 32)
            if len(whole) == length and self.xmp is not None and head[:32] in self.xmp:
                return whole
        if self._pieces:
            self.notices.append("The second part of XMP was left out: it is not whole.")
        return None


def _name(marker: int, payload: bytes) -> str:
    for known, start, name in _NAMES:
        if marker == known and payload.startswith(start):
            return name
    word = re.match(rb"[\w .:/-]{3,24}", payload)
    return f"A part of its own (APP{marker - 0xE0}{f', {word[0].decode()}' if word else ''})"


def with_metadata(bare: bytes, metadata: Metadata, notices: list[str]) -> bytes:
    """Put the metadata around the pixels of a file that has none."""
    head = [(APP0, b"JFIF\x00\x01\x01" + _density(metadata) + bytes(2))]
    if metadata.exif:
        head.append((APP1, _EXIF + metadata.exif))
    head += _xmp_segments(metadata)
    head += _icc_segments(metadata.icc or b"")
    whole = metadata.photoshop or b""
    size = LONGEST - len(_PHOTOSHOP)
    head += [(APP13, _PHOTOSHOP + whole[at : at + size]) for at in range(0, len(whole), size)]
    head += metadata.extra
    if any(len(payload) > LONGEST for _, payload in head):
        notices.append("A part of the metadata was left out: it is longer than JPEG allows.")
    kept = [segment(marker, payload) for marker, payload in head if len(payload) <= LONGEST]
    start = 2
    if bare[2:4] == b"\xff\xe0":
        start = 4 + int.from_bytes(bare[4:6])
    return b"".join((b"\xff\xd8", *kept, bare[start:]))


def _density(metadata: Metadata) -> bytes:
    """Return unit and numbers: dots per inch, or the shape of a pixel."""
    numbers = metadata.dpi or _whole(*(metadata.aspect or (1, 1)))
    across, down = (min(65535, max(1, round(x))) for x in numbers)
    return struct.pack(">BHH", 1 if metadata.dpi else 0, across, down)


def _whole(across: float, down: float) -> tuple[float, float]:
    """Enlarge two numbers that are not whole, so that rounding does not change their ratio."""
    if float(across).is_integer() and float(down).is_integer():
        return across, down
    factor = 10_000 / max(across, down)
    return across * factor, down * factor


def _xmp_segments(metadata: Metadata) -> Iterator[tuple[int, bytes]]:
    if metadata.xmp:
        yield APP1, XMP + metadata.xmp
    extended = metadata.extended_xmp
    if extended:
        head = _EXTENDED + guid(extended).encode() + struct.pack(">I", len(extended))
        size = 65000
        for at in range(0, len(extended), size):
            yield APP1, head + struct.pack(">I", at) + extended[at : at + size]


def guid(extended: bytes) -> str:
    """Return the name by which the first packet calls the second."""
    import hashlib  # it loads OpenSSL, which few pictures need

    return hashlib.md5(extended, usedforsecurity=False).hexdigest().upper()


def _icc_segments(profile: bytes) -> list[tuple[int, bytes]]:
    size = LONGEST - 14
    pieces = [profile[at : at + size] for at in range(0, len(profile), size)]
    return [(APP2, ICC + bytes((n, len(pieces))) + piece) for n, piece in enumerate(pieces, 1)]


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def is_alone(data: bytes) -> bool:
    """Tell whether nothing follows the picture in its file, and no index names other pictures."""
    scan = 2
    for marker, start, scan in walk(data):  # noqa: B007 - the last place is what counts
        if marker == APP2 and data.startswith(MPF, start):
            return False
    return data.find(b"\xff\xd9", scan) + 2 == len(data)


def end(data: bytes) -> int:
    """Return the place behind the picture's end, or the file's length if it has none."""
    return _end(data, first_scan(data))


_STOP = re.compile(rb"\xff[^\x00\xd0-\xd7\xff]")


def _end(data: bytes, position: int) -> int:
    while found := _STOP.search(data, position):
        marker = data[found.start() + 1]
        if marker == EOI:
            return found.end()
        (length,) = struct.unpack_from(">H", data, found.end()) if found.end() + 2 <= len(data) else (0,)
        position = found.end() + max(length, 2)
    return len(data)


def first_scan(data: bytes) -> int:
    """Return the place where the segments end, and the first scan begins."""
    return max((end for _, _, end in walk(data)), default=2)

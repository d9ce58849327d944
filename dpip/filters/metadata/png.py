"""The chunks of a PNG that say something besides its pixels. Source: PNG 3rd ed. (W3C).

ImageMagick's "raw profiles", which hold EXIF, XMP and IPTC in hexadecimal text, are read, and become what
they are; else they would tell of the original, with its thumbnail.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import attrs

from dpip.filters.metadata import exif, spaces
from dpip.filters.metadata.parts import Metadata

#: Chunks that are true whatever a filter does to the pixels.
_KEPT = frozenset({b"gAMA", b"cHRM", b"sRGB", b"cICP", b"mDCV", b"cLLI", b"tEXt", b"zTXt", b"iTXt", b"tIME"})
#: Those of how pixels are stored, and of animations: not metadata.
_STRUCTURE = frozenset(
    {
        b"IHDR",
        b"PLTE",
        b"IDAT",
        b"IEND",
        b"tRNS",
        b"acTL",
        b"fcTL",
        b"fdAT",
        b"hIST",
        b"sBIT",
        b"bKGD",
        b"sPLT",
    }
)
_NAMES = {b"caBX": "Content credentials (C2PA)", b"oFFs": "The place on a page", b"sCAL": "The scale"}
_XMP = b"XML:com.adobe.xmp\x00"
_RAW = b"Raw profile type "
_PER_METRE = 39.3701
_LARGEST, _MOST_UNPACKINGS = 16 << 20, 16


def read(chunks: list[tuple[bytes, bytes]]) -> tuple[Metadata, list[str]]:
    """Return the metadata, and notices of what is not understood."""
    found = _PngParts()
    for kind, body in chunks:
        found.take(kind, body)
    kept = {kind: body for kind, body in found.extra if kind in (b"gAMA", b"cHRM", b"cICP", b"sRGB")}
    return attrs.evolve(found.metadata, extra=tuple(found.extra), space=_space(kept)), found.notices


def _space(chunks: dict[bytes, bytes]) -> spaces.Space | None:
    """Return what the colours are by numbers; cICP counts most, then sRGB."""
    code = chunks.get(b"cICP", b"")
    if len(code) == 4:
        return spaces.of_code(code[0], code[1])
    return None if b"sRGB" in chunks else spaces.of_gamma(chunks.get(b"gAMA"), chunks.get(b"cHRM"))


@attrs.define
class _PngParts:
    metadata: Metadata = attrs.field(factory=Metadata)
    extra: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    notices: list[str] = attrs.field(factory=list)
    _unpackings: int = _MOST_UNPACKINGS

    def take(self, kind: bytes, body: bytes) -> None:
        if kind == b"eXIf":
            self._add(exif=exif.bare(body))
        elif kind == b"iCCP":
            self._add(icc=self._unpacked(body.partition(b"\x00")[2][1:]))
        elif kind == b"pHYs" and len(body) == 9:
            self._take_density(*struct.unpack(">IIB", body))
        elif kind == b"iTXt" and body.startswith(_XMP):
            self._add(xmp=self._packet(body[len(_XMP) :]))
        elif kind in (b"zTXt", b"tEXt") and body.startswith(_RAW):
            self._take_raw(kind, body)
        elif kind in _KEPT:
            self.extra.append((kind, body))
        elif kind not in _STRUCTURE:
            name = _NAMES.get(kind, f"A part of its own ({kind.decode('ascii', 'replace')})")
            self.notices.append(f"{name} of the original was left out.")

    def _add(self, **found: bytes | None) -> None:
        self.metadata = attrs.evolve(self.metadata, **found)  # type: ignore[arg-type]

    def _take_density(self, across: int, down: int, unit: int) -> None:
        if unit == 1:
            dpi = across / _PER_METRE, down / _PER_METRE
            self.metadata = attrs.evolve(self.metadata, dpi=dpi)
        elif across and down and across != down:
            self.metadata = attrs.evolve(self.metadata, aspect=(float(across), float(down)))

    def _take_raw(self, kind: bytes, body: bytes) -> None:
        name, _, rest = body[len(_RAW) :].partition(b"\0")
        text = self._unpacked(rest[1:]) if kind == b"zTXt" else rest
        data = _of_hexadecimal(text or b"")
        part = {
            b"exif": "exif",
            b"APP1": "exif",
            b"xmp": "xmp",
            b"8bim": "photoshop",
            b"iptc": "photoshop",
        }.get(name)
        if part is None or not data:
            return
        if name == b"APP1" and not data.startswith(b"Exif"):
            part, data = "xmp", data.partition(b"\0")[2]
        if name == b"iptc" and data[:1] == b"\x1c":
            from dpip.filters.metadata import photoshop

            data = photoshop.of_iptc(data)
        if getattr(self.metadata, part) is None:
            self._add(**{part: exif.bare(data) if part == "exif" else data})

    def _packet(self, rest: bytes) -> bytes | None:
        """Return the text of an iTXt after its keyword, which may be compressed."""
        packed = rest[:1] == b"\1"
        text = rest[2:].split(b"\0", 2)[-1]
        return self._unpacked(text) if packed else text or None

    def _unpacked(self, packed: bytes) -> bytes | None:
        """Return what was compressed; None for what is damaged, or one of too many."""
        self._unpackings -= 1
        try:
            return (
                zlib.decompressobj().decompress(packed, _LARGEST) or None if self._unpackings >= 0 else None
            )
        except zlib.error:
            return None


def _of_hexadecimal(text: bytes) -> bytes:
    """Return the bytes of a raw profile: its name and its length stand before them, on lines of their own."""
    words = text.split(None, 2)
    try:
        return bytes.fromhex(words[2].decode("ascii")) if len(words) == 3 else b""
    except ValueError:
        return b""


def chunks(metadata: Metadata) -> Iterator[tuple[bytes, bytes]]:
    """Yield kind and contents of the chunks to be written."""
    kinds = {kind for kind, _ in metadata.extra}
    if metadata.icc:
        yield b"iCCP", b"ICC profile\x00\x00" + zlib.compress(metadata.icc)
    if metadata.space is not None and not kinds & {b"cICP", b"gAMA", b"cHRM"}:
        yield from _of_space(metadata.space)
    for kind, body in metadata.extra:
        if not (metadata.icc and kind == b"sRGB"):  # never both
            yield kind, body
    if metadata.dpi:
        yield b"pHYs", struct.pack(">IIB", *(round(x * _PER_METRE) for x in metadata.dpi), 1)
    elif metadata.aspect:
        yield b"pHYs", struct.pack(">IIB", *(max(1, round(x * 1000)) for x in metadata.aspect), 0)
    if metadata.exif:
        yield b"eXIf", metadata.exif
    if metadata.xmp:
        yield b"iTXt", _XMP + b"\x00\x00\x00\x00" + metadata.xmp


def _of_space(space: spaces.Space) -> Iterator[tuple[bytes, bytes]]:
    if space.code is not None:
        yield b"cICP", bytes((*space.code, 0, 1))
        return
    *colours, x, y = space.primaries
    yield b"gAMA", struct.pack(">I", round(100_000 / (space.gamma or 2.2)))
    yield b"cHRM", struct.pack(">8I", *(round(number * 100_000) for number in (x, y, *colours)))

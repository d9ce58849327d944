"""HEIF and AVIF: which pictures the file shows, how large they are, and with how many bits.

Source: ISO/IEC 23008-12 (HEIF), the AV1 Image File Format.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, BinaryIO

import attrs

from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.probes import boxes

HEIF_BRANDS = frozenset(
    {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"mif2", b"msf1"}
    | {b"miaf", b"mif3", b"jpeg", b"avci", b"vvic", b"evbi"}
)
AVIF_BRANDS = frozenset({b"avif", b"avis", b"avio"})
_DERIVED = frozenset({b"thmb", b"auxl", b"dimg", b"prem", b"base", b"tbas"})
_CODED = frozenset(
    {b"hvc1", b"hev1", b"av01", b"grid", b"iden", b"iovl", b"unci", b"jpeg", b"avc1", b"vvc1", b"j2k1"}
)
_DEPTH = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:depth", b"urn:mpeg:hevc:2015:auxid:2")
_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")


@attrs.frozen
class Content:
    """Sizes of the pictures that are shown, bits per channel, and nclx of the colours, if they have that."""

    sizes: tuple[tuple[int, int], ...]
    bits: int
    alpha: bool
    nclx: tuple[int, int] | None = None
    gain: bool = False
    depth: bool = False


def probe(file: BinaryIO, format: str) -> PictureInfo:
    """Describe the pictures of a HEIF or AVIF file. Raises ValueError, struct.error, EOFError."""
    found = content(file, sequence=format == "AVIF")
    width, height = found.sizes[0]
    pixels, different = sum(one * other for one, other in found.sizes), tuple(dict.fromkeys(found.sizes))
    channels = 4 if found.alpha else 3
    bits = 16 if found.bits > 8 else 8
    return PictureInfo(format, width, height, channels, bits, len(found.sizes), pixels, different)


def content(file: BinaryIO, sequence: bool = False) -> Content:
    """Read what the file shows: with ``sequence`` the frames of a sequence, if there is one."""
    meta: bytes | None = None
    tracks: list[tuple[tuple[int, int], int]] = []
    for box in boxes.walk(file):
        if box.kind == b"meta" and meta is None:
            meta = box.body(file)[4:]
        elif box.kind == b"stsd":
            tracks.append((_entry_size(box.body(file)), 0))
        elif box.kind in (b"stsz", b"stz2") and tracks:
            tracks[-1] = tracks[-1][0], struct.unpack(">I", box.body(file)[8:12])[0]
    still = _Items.read(meta).content() if meta is not None else None
    if sequence and tracks and tracks[0][1] > 1:
        size, count = tracks[0]
        return Content(
            (size,) * min(count, 1_000_000), still.bits if still else 8, bool(still and still.alpha)
        )
    if still is None:
        raise ValueError
    return still


def _entry_size(stsd: bytes) -> tuple[int, int]:
    """Return width and height of a visual sample entry."""
    width, height = struct.unpack_from(">HH", stsd, 8 + 8 + 24)
    return width, height


def _is_depth(property: tuple[bytes, bytes]) -> bool:
    kind, body = property
    return kind == b"auxC" and body[4:].startswith(_DEPTH)


@attrs.define
class _Items:
    """The items of a file: their kinds, references and properties."""

    primary: int = 0
    kinds: dict[int, bytes] = attrs.field(factory=dict)
    hidden: set[int] = attrs.field(factory=set)
    derived: set[int] = attrs.field(factory=set)
    properties: list[tuple[bytes, bytes]] = attrs.field(factory=list)
    of: dict[int, list[int]] = attrs.field(factory=dict)

    @classmethod
    def read(cls, meta: bytes) -> _Items:
        items = cls()
        readers: dict[bytes, Any] = {b"pitm": items._pitm, b"iinf": items._iinf, b"iref": items._iref}
        readers[b"iprp"] = items._iprp
        for kind, body in boxes.within(meta):
            if kind in readers:
                readers[kind](body)
        return items

    def _pitm(self, body: bytes) -> None:
        (self.primary,) = struct.unpack_from(">I" if body[0] else ">H", body, 4)

    def _iinf(self, body: bytes) -> None:
        for kind, entry in boxes.within(body[8 if body[0] else 6 :]):
            if kind != b"infe" or entry[0] < 2:
                continue
            wide = entry[0] > 2
            number, _, named = struct.unpack_from(">IH4s" if wide else ">HH4s", entry, 4)
            self.kinds[number] = named
            if entry[3] & 1:
                self.hidden.add(number)

    def _iref(self, body: bytes) -> None:
        word = "I" if body[0] else "H"
        size = struct.calcsize(">" + word)
        for kind, entry in boxes.within(body[4:]):
            source, count = struct.unpack_from(f">{word}H", entry)
            targets = struct.unpack_from(f">{count}{word}", entry, size + 2)
            if kind in (b"thmb", b"auxl"):
                self.derived.add(source)
            elif kind in _DERIVED:
                self.derived.update(targets)

    def _iprp(self, body: bytes) -> None:
        for kind, part in boxes.within(body):
            if kind == b"ipco":
                self.properties = list(boxes.within(part))
            elif kind == b"ipma":
                self._ipma(part)

    def _ipma(self, body: bytes) -> None:
        wide_item, wide_index = body[0] > 0, body[3] & 1
        (count,) = struct.unpack_from(">I", body, 4)
        place = 8
        for _ in range(count):
            number, many = struct.unpack_from(">IB" if wide_item else ">HB", body, place)
            place += 5 if wide_item else 3
            layout, mask = (f">{many}H", 0x7FFF) if wide_index else (f">{many}B", 0x7F)
            self.of[number] = [index & mask for index in struct.unpack_from(layout, body, place)]
            place += struct.calcsize(layout)

    def content(self) -> Content:
        shown = [
            n for n, kind in self.kinds.items() if kind in _CODED and n not in self.derived | self.hidden
        ]
        if self.primary in self.kinds and self.primary not in shown:
            shown.append(self.primary)
        shown.sort(key=lambda number: number != self.primary)
        sizes = tuple(max(self._sizes(number), default=(0, 0)) for number in shown)
        if not sizes:
            raise ValueError
        alpha = any(kind == b"auxC" and body[4:].startswith(_ALPHA) for kind, body in self.properties)
        gain = b"tmap" in self.kinds.values()
        depth = any(map(_is_depth, self.properties))
        return Content(sizes, max(self._bits(), default=8), alpha, self._nclx(), gain, depth)

    def _sizes(self, item: int) -> Iterator[tuple[int, int]]:
        for kind, body in self._properties(item):
            if kind == b"ispe":
                width, height = struct.unpack_from(">II", body, 4)
                yield width, height

    def _properties(self, item: int) -> Iterator[tuple[bytes, bytes]]:
        for index in self.of.get(item, ()):
            if 0 < index <= len(self.properties):
                yield self.properties[index - 1]

    def _bits(self) -> Iterator[int]:
        for kind, body in self.properties:
            if kind == b"pixi":
                yield from body[5 : 5 + body[4]]
            elif kind == b"hvcC":
                yield 8 + (body[17] & 7)
            elif kind == b"av1C":
                yield 12 if body[2] & 0x20 else 10 if body[2] & 0x40 else 8

    def _nclx(self) -> tuple[int, int] | None:
        for kind, body in self._properties(self.primary):
            if kind == b"colr" and body[:4] == b"nclx":
                primaries, transfer = struct.unpack_from(">HH", body, 4)
                return primaries, transfer
        return None

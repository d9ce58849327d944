"""JPEG XL: the fields at the start of the codestream, bit by bit. Source: ISO/IEC 18181-1 and -2."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import BinaryIO

import attrs

from dpip.errors import NotAnImage
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.probes import boxes

BOXES = b"\0\0\0\x0cJXL \r\n\x87\n"
CODESTREAM = b"\xff\x0a"
_READ = 4096  # bytes of the codestream: the fields need some dozens
_RATIOS = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))
_LINEAR, SRGB = 8, 13
_FOUR_BITS_FROM = 2  # numbers of the curve that four bits tell, less this


@attrs.frozen
class Head:
    """The fields that matter here. ``lossless`` says that no colour transform was used."""

    width: int
    height: int
    bits: int = 8
    floats: bool = False
    gray: bool = False
    alpha: bool = False
    others: int = 0  # extra channels that are no alpha
    lossless: bool = False
    plain_colours: bool = True  # sRGB, or gray with its curve
    linear: bool = False  # those colours, but in linear light
    code: tuple[int, int] | None = (
        None  # primaries and curve by the numbers of ITU-T H.273, if those tell them
    )
    curve_at: int = 0  # the bit of the codestream at which four tell the curve, if they do

    @property
    def channels(self) -> int:
        return (1 if self.gray else 3) + self.alpha + self.others


def probe(file: BinaryIO, start: bytes) -> PictureInfo:
    """Describe a picture. Raises ValueError, EOFError; NotAnImage for an animation."""
    found = head(file, start)
    deep = found.bits > 8 or found.linear  # linear light needs more to be sRGB
    bits = 32 if found.floats else 16 if deep else 8
    traits = frozenset({"lossless"}) if found.lossless else frozenset[str]()
    return PictureInfo("JXL", found.width, found.height, found.channels, bits, traits=traits)


def head(file: BinaryIO, start: bytes) -> Head:
    if start.startswith(CODESTREAM):
        file.seek(0)
        return _head(_Bits(file.read(_READ)))
    stream = b""
    for box in boxes.walk(file):
        skipped = {b"jxlc": 0, b"jxlp": 4}.get(box.kind)
        if skipped is not None and len(stream) < _READ:
            file.seek(box.start + skipped)
            stream += file.read(min(_READ, max(0, box.end - box.start - skipped)))
    return _head(_Bits(stream))


class _Bits:
    """Bits of a codestream, the lowest of a byte first."""

    def __init__(self, data: bytes) -> None:
        self._number = int.from_bytes(data, "little")
        self._left = 8 * len(data)
        self.place = 0

    def take(self, count: int) -> int:
        if count > self._left:
            raise EOFError
        value = self._number & ((1 << count) - 1)
        self._number >>= count
        self._left -= count
        self.place += count
        return value

    def flag(self) -> bool:
        return bool(self.take(1))

    def choice(self, *ways: tuple[int, int]) -> int:
        """Two bits choose (bits, offset) of four: what the specification calls U32."""
        bits, offset = ways[self.take(2)]
        return self.take(bits) + offset

    def enumerated(self) -> int:
        return self.choice((0, 0), (0, 1), (4, 2), (6, 18))


def _head(bits: _Bits) -> Head:
    if bits.take(16) != int.from_bytes(CODESTREAM, "little"):
        raise ValueError
    width, height = _size(bits)
    if bits.flag():  # everything else is as usual: sRGB, 8 bits, in the colours of the eye
        return Head(width, height)
    turned = False
    if bits.flag():
        turned = bits.take(3) >= 4
        if bits.flag():
            _size(bits)  # of the whole that this is a crop of
        if bits.flag():
            _preview(bits)
        if bits.flag():
            raise NotAnImage("The file looks like an animated JPEG XL. DPIP takes single ones.", picture=True)
    depth, floats = _depth(bits)
    bits.flag()  # whether 16-bit buffers are enough
    extras = list(_extras(bits, bits.choice((0, 0), (0, 1), (4, 2), (12, 1))))
    lossless = not bits.flag()
    size = (height, width) if turned else (width, height)
    alpha = 0 in extras
    found = Head(*size, depth, floats, False, alpha, len(extras) - alpha, lossless)
    return _with_colours(found, bits)


def _size(bits: _Bits) -> tuple[int, int]:
    small = bits.flag()

    def side() -> int:
        return 8 * (bits.take(5) + 1) if small else bits.choice((9, 1), (13, 1), (18, 1), (30, 1))

    height = side()
    ratio = bits.take(3)
    if ratio == 0:
        return side(), height
    across, down = _RATIOS[ratio - 1]
    return height * across // down, height


def _preview(bits: _Bits) -> None:
    whole = bits.flag()
    ways = ((0, 16), (0, 32), (5, 1), (9, 33)) if whole else ((6, 1), (8, 65), (10, 321), (12, 1345))
    bits.choice(*ways)
    if bits.take(3) == 0:
        bits.choice(*ways)


def _depth(bits: _Bits) -> tuple[int, bool]:
    """Return the bits of a sample, and whether they are floating point."""
    if bits.flag():
        depth = bits.choice((0, 32), (0, 16), (0, 24), (6, 1))
        bits.take(4)
        return depth, True
    return bits.choice((0, 8), (0, 10), (0, 12), (6, 1)), False


def _extras(bits: _Bits, count: int) -> Iterator[int]:
    """Yield the kinds of the extra channels; 0 is alpha."""
    for _ in range(count):
        if bits.flag():
            yield 0
            continue
        kind = bits.enumerated()
        _depth(bits)
        bits.choice((0, 0), (0, 3), (0, 4), (3, 1))
        for _ in range(bits.choice((0, 0), (4, 0), (5, 16), (10, 48))):
            bits.take(8)
        if kind == 0:
            bits.flag()
        elif kind == 2:
            bits.take(64)
        elif kind == 5:
            bits.choice((0, 1), (2, 0), (4, 3), (8, 19))
        yield kind


def _with_colours(head: Head, bits: _Bits) -> Head:
    if bits.flag():
        return head
    profile = bits.flag()
    space = bits.enumerated()
    gray = space == 1
    if profile or space not in (0, 1):
        return attrs.evolve(head, gray=gray, plain_colours=False)
    white = bits.enumerated()
    if white == 2:
        _place(bits)
    primaries = 1 if gray else bits.enumerated()
    for _ in range(3 if primaries == 2 else 0):
        _place(bits)
    known = white == 1 and primaries == 1
    if bits.flag():  # a gamma
        return attrs.evolve(head, gray=gray, plain_colours=False)
    curve, end = bits.enumerated(), bits.place
    plain, linear = known and curve == SRGB, known and curve == _LINEAR
    at = end - 4 if _FOUR_BITS_FROM <= curve < _FOUR_BITS_FROM + 16 else 0
    named = {(1, 1): 1, (9, 1): 9, (11, 1): 12, (11, 11): 11}.get((primaries, white))
    code = (named, curve) if named is not None else None
    return attrs.evolve(head, gray=gray, plain_colours=plain, linear=linear, curve_at=at, code=code)


def with_srgb_curve(stream: bytes) -> bytes:
    """Correct a codestream that says that its samples are in linear light, and whose are not."""
    found = head(io.BytesIO(stream), stream[:16])
    if not found.linear or not found.curve_at:
        return stream
    number = int.from_bytes(stream[:_READ], "little")
    mask = 15 << found.curve_at
    number = number & ~mask | (SRGB - _FOUR_BITS_FROM) << found.curve_at
    return number.to_bytes(len(stream[:_READ]), "little") + stream[_READ:]


def _place(bits: _Bits) -> None:
    """Pass over a point of the colour diagram."""
    for _ in range(2):
        bits.choice((19, 0), (19, 524288), (20, 1048576), (21, 2097152))

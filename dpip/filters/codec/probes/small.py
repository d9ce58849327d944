"""QOI, PNM, PFM, Targa, DirectDraw surfaces and icons: headers of a few bytes.

Sources: the QOI specification, the netpbm manual, the Truevision TGA specification 2.0, Microsoft's ICO and
DDS documentation.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO

from dpip.filters.codec.info import PictureInfo, unpack

_MOST_HEADER = 4096
_TGA_KINDS = {1: (8, 16), 2: (15, 16, 24, 32), 3: (8, 16), 9: (8, 16), 10: (15, 16, 24, 32), 11: (8, 16)}
TGA_FOOTER = b"TRUEVISION-XFILE.\0"
_PNG = b"\x89PNG\r\n\x1a\n"


def qoi(file: BinaryIO, start: bytes) -> PictureInfo:
    width, height, channels, _ = struct.unpack_from(">IIBB", start, 4)
    if channels not in (3, 4):
        raise ValueError
    return PictureInfo("QOI", width, height, channels)


def netpbm(file: BinaryIO, start: bytes) -> PictureInfo:
    """Read the header of P1 to P7, PF and Pf."""
    file.seek(0)
    return netpbm_header(file.read(_MOST_HEADER))[0]


def netpbm_header(data: bytes) -> tuple[PictureInfo, float, int]:
    """Return what the header says, its maximum (or scale, if it is PFM), and where the samples begin."""
    kind = data[:2]
    if kind == b"P7":
        return _pam(data)
    count = 2 if kind in (b"P1", b"P4") else 3
    words, place = _words(data, count)
    width, height = int(words[0]), int(words[1])
    channels = 3 if kind in (b"P3", b"P6", b"PF") else 1
    if kind in (b"PF", b"Pf"):
        return PictureInfo("PFM", width, height, channels, 32), float(words[2]), place
    most = int(words[2]) if count == 3 else 1
    traits = _traits(most, kind) if count == 3 else _BITS
    return PictureInfo("PNM", width, height, channels, _bits(most), traits=traits), most, place


_BITS, _SPREAD = frozenset({"bits"}), frozenset({"spread"})


def _traits(most: int, kind: bytes) -> frozenset[str]:
    """Tell whether samples are text, or have to be spread over the whole range."""
    return frozenset() if most in (255, 65535) and kind not in (b"P2", b"P3") else _SPREAD


def _bits(most: int) -> int:
    if not 0 < most < 65536:
        raise ValueError
    return 8 if most < 256 else 16


def _words(data: bytes, count: int) -> tuple[list[bytes], int]:
    """Return so many words after the magic, without comments, and the place after the last one's end."""
    words: list[bytes] = []
    word, place = b"", 2
    while len(words) < count:
        byte = data[place : place + 1]
        if not byte:
            raise EOFError
        place += 1
        if byte == b"#":
            place = data.index(b"\n", place) + 1
        elif not byte.isspace():
            word += byte
            continue
        if word:
            words.append(word)
        word = b""
    return words, place


def _pam(data: bytes) -> tuple[PictureInfo, float, int]:
    end = data.index(b"ENDHDR\n") + len(b"ENDHDR\n")
    lines = [line.split(None, 1) for line in data[3:end].split(b"\n") if line and not line.startswith(b"#")]
    said = {line[0]: line[1] for line in lines if len(line) == 2}
    width, height, depth, most = (int(said[name]) for name in (b"WIDTH", b"HEIGHT", b"DEPTH", b"MAXVAL"))
    if not 1 <= depth <= 4:
        raise ValueError
    traits = _traits(most, data[:2])
    return PictureInfo("PNM", width, height, depth, _bits(most), traits=traits), most, end


def looks_like_tga(file: BinaryIO, start: bytes) -> bool:
    """Tell whether these may be the bytes of a Targa: the format has no magic, but few valid headers."""
    file.seek(0)
    head = file.read(18)
    if len(head) < 18:
        return False
    identity, mapped, kind, first, entries, size, _, _, width, height, depth, flags = struct.unpack(
        "<BBBHHBHHHHBB", head
    )
    if depth not in _TGA_KINDS.get(kind, ()) or not width or not height or flags & 0xC0:
        return False
    palette = kind in (1, 9)
    if mapped > 1 or (palette and not mapped) or (mapped and size not in (15, 16, 24, 32)):
        return False
    if not mapped and (first or entries or size):
        return False
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - len(TGA_FOOTER)))
    if file.read() == TGA_FOOTER:
        return True
    samples = width * height * -(-depth // 8)
    needed = 18 + identity + entries * -(-size // 8)
    return bool(end >= needed + samples if kind < 8 else end > needed)


def tga(file: BinaryIO, start: bytes) -> PictureInfo:
    width, height, depth = unpack(file, "<HHB") if file.seek(12) else (0, 0, 0)
    kind, bits = start[2], depth
    channels = {8: 1, 16: 2}.get(bits, 3) if kind in (3, 11) else 3 if bits == 24 else 4
    return PictureInfo("TGA", width, height, channels)


def dds(file: BinaryIO, start: bytes) -> PictureInfo:
    file.seek(4)
    size, _, height, width = unpack(file, "<IIII")
    if size != 124:
        raise ValueError
    return PictureInfo("DDS", width, height, 4)


def ico(file: BinaryIO, start: bytes) -> PictureInfo:
    """Return the size of the largest picture, by what is stored and not only by the directory."""
    (count,) = struct.unpack_from("<H", start, 4)
    if not count:
        raise ValueError
    end = file.seek(0, os.SEEK_END)
    sizes = []
    for number in range(count):
        file.seek(6 + 16 * number)
        width, height, place = unpack(file, "<BB10xI")
        sizes.append((width or 256, height or 256))
        if place < end:
            sizes.append(_stored(file, place))
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return PictureInfo("ICO", width, height, 4)


def _stored(file: BinaryIO, place: int) -> tuple[int, int]:
    file.seek(place)
    head = file.read(24)
    if head.startswith(_PNG) and len(head) == 24:
        width, height = struct.unpack_from(">II", head, 16)
        return width, height
    if len(head) < 12:
        return 0, 0
    _, width, doubled = struct.unpack_from("<Iii", head)
    return abs(width), abs(doubled) // 2

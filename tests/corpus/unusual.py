"""Pictures that decoders take and few programs write: they must come out right."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

import numpy as np
from PIL import Image

from tests.corpus.crafted import png, png_part
from tests.filters.pictures import natural, saved

_PICTURE: Final = natural(21, 35)
_GREY: Final = b"".join(bytes((level, level, level, 0)) for level in range(256))
_SIDES: Final = (12, 4)


def files() -> Mapping[str, bytes]:
    """By name; made anew at each call."""
    return {**dict(_jpegs()), **dict(_pngs()), **dict(_gifs()), **dict(_bmps()), **dict(_tiffs())}


def _jpegs() -> Iterator[tuple[str, bytes]]:
    plain = saved(_PICTURE, "JPEG")
    tables = plain.index(b"\xff\xdb")
    yield "junk between segments.jpg", plain[:tables] + b"junk\xff\0more" + plain[tables:]
    yield "fill bytes.jpg", plain[:tables] + b"\xff" * 9 + plain[tables:]
    yield "something behind.jpg", plain + b"PK\3\4" * 100
    yield "restarts.jpg", saved(_PICTURE, "JPEG", restart_marker_blocks=1)
    yield "a quarter of the colour.jpg", saved(_PICTURE, "JPEG", subsampling="4:1:1")
    yield "not in YCbCr.jpg", saved(_PICTURE, "JPEG", keep_rgb=True)
    out = io.BytesIO()
    Image.fromarray(_PICTURE).save(out, "MPO", save_all=True, append_images=[Image.fromarray(_PICTURE)])
    yield "two pictures in one.jpg", out.getvalue()


def _pngs() -> Iterator[tuple[str, bytes]]:
    """Each colour type with each number of bits, with a colour that is transparent and without."""
    for colour, channels, widths in (
        (0, 1, (1, 2, 4, 8, 16)),
        (2, 3, (8, 16)),
        (3, 1, (1, 2, 4, 8)),
        (4, 2, (8, 16)),
        (6, 4, (8, 16)),
    ):
        for bits in widths:
            row = -(-5 * channels * bits // 8)
            rows = b"".join(b"\0" + bytes((37 * n + line) % 256 for n in range(row)) for line in range(4))
            palette = [png_part(b"PLTE", bytes(range(256)) * 3)[: 12 + 768]] if colour == 3 else []
            pixels = png_part(b"IDAT", zlib.compress(rows))
            yield f"type {colour}, {bits} bits.png", png(5, 4, bits, colour, *palette, pixels)
            if colour in (0, 2, 3):
                key = png_part(b"tRNS", bytes((0, 1, 0, 1, 0, 1))[: 2 * channels])
                yield f"type {colour}, {bits} bits, a key.png", png(5, 4, bits, colour, *palette, key, pixels)
    packed = zlib.compress(bytes(24))
    crumbs = [png_part(b"IDAT", packed[n : n + 1]) for n in range(len(packed))]
    yield "a byte in each part.png", png(5, 4, 8, 0, *crumbs, png_part(b"IDAT", b""))
    yield "more data than pixels.png", png(5, 4, 8, 0, png_part(b"IDAT", zlib.compress(bytes(99))))
    yield "something behind.png", saved(_PICTURE, "PNG") + b"and so on" * 9
    few = png_part(b"PLTE", bytes(range(12)))
    rows = b"".join(b"\0" + bytes((0, 1, 2, 3, 200)) for _ in range(4))
    yield "colours that are not there.png", png(5, 4, 8, 3, few, png_part(b"IDAT", zlib.compress(rows)))


def _gifs() -> Iterator[tuple[str, bytes]]:
    plain = saved(_PICTURE, "GIF")
    start = 13 + (3 << ((plain[10] & 7) + 1))
    yield "junk between blocks.gif", plain[:start] + bytes(5) + plain[start:]
    yield "no end.gif", plain[:-1]
    yield "something behind.gif", plain + b"!" * 99
    yield "a screen of nothing.gif", plain[:6] + bytes(4) + plain[10:]
    yield "a screen of one pixel.gif", plain[:6] + b"\1\0\1\0" + plain[10:]
    yield "a screen with a margin.gif", plain[:6] + b"\x50\0\x50\0" + plain[10:]
    yield "interlaced.gif", saved(_PICTURE, "GIF", interlace=1)
    yield "as of 1987.gif", b"GIF87a" + plain[6:]


def _bmp(
    bits: int, packing: int, body: bytes, palette: bytes = b"", masks: bytes = b"", size: int = 40
) -> bytes:
    width, height = _SIDES
    fields = size, width, height, 1, bits, packing, len(body), 2835, 2835, len(palette) // 4, 0
    head = struct.pack("<IiiHHIIiiII", *fields) + masks
    head = head.ljust(size, b"\0")
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + palette + body


def _bmps() -> Iterator[tuple[str, bytes]]:
    some = bytes(n * 7 % 256 for n in range(192))
    yield "runs.bmp", _bmp(8, 1, (b"\4\x0a\x08\xc8\0\0") * 4 + b"\0\1", _GREY)
    yield "runs of halves.bmp", _bmp(4, 2, b"\x0c\x12\0\0" * 4 + b"\0\1", _GREY[-64:])
    yield "no runs.bmp", _bmp(8, 1, (b"\0\x0c" + some[:12] + b"\0\0") * 4 + b"\0\1", _GREY)
    yield "one bit.bmp", _bmp(1, 0, some[:16], _GREY[:4] + _GREY[-4:])
    yield "four bits.bmp", _bmp(4, 0, some[:32], _GREY[-64:])
    yield "15 bits.bmp", _bmp(16, 0, some[:96])
    yield "16 bits.bmp", _bmp(16, 3, some[:96], masks=struct.pack("<III", 0xF800, 0x7E0, 0x1F))
    alpha = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    for size in (56, 108, 124):
        yield f"alpha, header of {size}.bmp", _bmp(32, 3, some, masks=alpha, size=size)
    down = bytearray(_bmp(24, 0, some[:144]))
    down[22:26] = struct.pack("<i", -4)
    yield "from above.bmp", bytes(down)
    old = struct.pack("<IHHHH", 12, *_SIDES, 1, 24)
    yield "of OS2.bmp", b"BM" + struct.pack("<IHHI", 26 + 144, 0, 0, 26) + old + some[:144]


def _tiffs() -> Iterator[tuple[str, bytes]]:
    gray = Image.fromarray(_PICTURE).convert("L")
    kinds: dict[str, tuple[Any, tuple[str, ...]]] = {
        "bilevel": (gray.convert("1"), ("raw", "packbits", "group3", "group4", "tiff_ccitt")),
        "gray": (gray, ("packbits", "tiff_lzw", "zstd", "lzma", "jpeg")),
        "palette": (gray.convert("P"), ("raw", "tiff_deflate")),
        "CMYK": (Image.fromarray(_PICTURE).convert("CMYK"), ("raw", "tiff_lzw")),
        "alpha": (Image.fromarray(_PICTURE).convert("RGBA"), ("raw", "tiff_adobe_deflate")),
        "deep": (Image.fromarray(np.arange(735, dtype=np.uint16).reshape(21, 35) * 89), ("raw", "tiff_lzw")),
    }
    for kind, (image, packings) in kinds.items():
        for packing in packings:
            for big in (False, True):
                out = io.BytesIO()
                image.save(out, "TIFF", compression=packing, big_tiff=big)
                yield f"{kind} by {packing}{', big' if big else ''}.tif", out.getvalue()

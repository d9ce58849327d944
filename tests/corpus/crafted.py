"""Files made to hurt: huge, endless, cyclic, and bombs. Each is a few MB at most."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Mapping
from typing import Final

from PIL import Image

from tests.filters.pictures import natural, saved

SIDE: Final = 65_500
FRAMES: Final = 100_000
SCANS: Final = 500
_BOMB: Final = 64 * 2**20  # bytes that a compressed part claims and really holds
_SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"


def png_part(kind: bytes, body: bytes) -> bytes:
    """A part, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _zeros(size: int) -> bytes:
    """So many zeros, compressed."""
    packer, pieces, piece = zlib.compressobj(1), [], bytes(2**20)
    while size > 0:
        pieces.append(packer.compress(piece[:size]))
        size -= len(piece)
    return b"".join((*pieces, packer.flush()))


def png(width: int, height: int, bits: int, colour: int, *parts: bytes) -> bytes:
    """``parts`` between header and end."""
    header = png_part(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"".join((_SIGNATURE, header, *parts, png_part(b"IEND", b"")))


def vast_png() -> bytes:
    """65,500 x 65,500 pixels of one colour, all of them there: 4.3 gigapixels in two megabytes."""
    return png(SIDE, SIDE, 1, 0, png_part(b"IDAT", _zeros(SIDE * (-(-SIDE // 8) + 1))))


def short_png() -> bytes:
    """As many pixels as are allowed, and data for none of them."""
    return png(10_000, 10_000, 8, 2, png_part(b"IDAT", zlib.compress(b"")))


def overfull_png() -> bytes:
    """One pixel, and data for 64 million of them."""
    return png(1, 1, 8, 0, png_part(b"IDAT", _zeros(_BOMB)))


def text_bomb() -> bytes:
    pixel = png_part(b"IDAT", zlib.compress(b"\0\0"))
    return png(1, 1, 8, 0, png_part(b"zTXt", b"Comment\0\0" + _zeros(_BOMB)), pixel)


def profile_bomb() -> bytes:
    pixel = png_part(b"IDAT", zlib.compress(b"\0\0\0\0"))
    return png(1, 1, 8, 2, png_part(b"iCCP", b"profile\0\0" + _zeros(_BOMB)), pixel)


def many_parts_png() -> bytes:
    """A hundred thousand empty parts before the picture."""
    pixel = png_part(b"IDAT", zlib.compress(b"\0\0"))
    return png(1, 1, 8, 0, png_part(b"tEXt", b"") * 100_000, pixel)


def endless_apng() -> bytes:
    """100,000 frames of one pixel."""
    pixel, number, parts = zlib.compress(b"\0\0"), 0, [png_part(b"acTL", struct.pack(">II", FRAMES, 0))]
    for frame in range(FRAMES):
        control = struct.pack(">IIIIIHHBB", number, 1, 1, 0, 0, 1, 100, 0, 0)
        number += 1
        parts.append(png_part(b"fcTL", control))
        if frame == 0:
            parts.append(png_part(b"IDAT", pixel))
        else:
            parts.append(png_part(b"fdAT", struct.pack(">I", number) + pixel))
            number += 1
    return png(1, 1, 8, 0, *parts)


def lying_apng() -> bytes:
    """It says that it has 4 billion frames."""
    control = png_part(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 100, 0, 0))
    animation = png_part(b"acTL", struct.pack(">II", 2**32 - 1, 0))
    return png(1, 1, 8, 0, animation, control, png_part(b"IDAT", zlib.compress(b"\0\0")))


def endless_gif() -> bytes:
    """100,000 frames of one pixel."""
    single = saved(natural(1, 1), "GIF", "L")
    start = 13 + (3 << ((single[10] & 7) + 1))
    return single[:start] + single[start:-1] * FRAMES + b";"


def crumbled_gif() -> bytes:
    """A comment of two megabytes, a byte at a time."""
    single = saved(natural(1, 1), "GIF", "L")
    start = 13 + (3 << ((single[10] & 7) + 1))
    return single[:start] + b"!\xfe" + b"\x01x" * 2**20 + b"\0" + single[start:]


def hollow_gif() -> bytes:
    """A million extensions with nothing in them."""
    single = saved(natural(1, 1), "GIF", "L")
    start = 13 + (3 << ((single[10] & 7) + 1))
    return single[:start] + b"!\xfe\0" * 2**20 + single[start:]


def vast_frame_gif() -> bytes:
    """A screen of one pixel, and a frame of four billion, which makes the screen as large."""
    data = bytearray(saved(natural(1, 1), "GIF", "L"))
    frame = data.index(b",", 13 + (3 << ((data[10] & 7) + 1)))
    data[frame + 5 : frame + 9] = b"\xff\xff\xff\xff"
    return bytes(data)


def idle_gif() -> bytes:
    """Four megabytes of codes that say: begin anew."""
    head = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0x80, 0, 0) + bytes(6)
    piece = sum(4 << (3 * number) for number in range(8 * 85)).to_bytes(255, "little")
    return head + b"," + struct.pack("<HHHHB", 0, 0, 64, 64, 0) + b"\2" + (b"\xff" + piece) * 2**14 + b"\0;"


def many_scans_jpeg() -> bytes:
    """A large progressive picture that is refined 500 times."""
    data = saved(natural(64, 64).repeat(40, axis=0).repeat(40, axis=1), "JPEG", progressive=True, quality=50)
    last = data.rindex(b"\xff\xda")
    tables = data.rfind(b"\xff\xc4", 0, last)
    return data[:-2] + data[tables:-2] * SCANS + b"\xff\xd9"


def vast_jpeg() -> bytes:
    """A header of 65,500 x 65,500 pixels before the data of a few."""
    data = bytearray(saved(natural(16, 16), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", SIDE, SIDE)
    return bytes(data)


def stretched_jpeg() -> bytes:
    """As many pixels as are allowed before the data of a few."""
    data = bytearray(saved(natural(16, 16), "JPEG"))
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 9_900, 9_900)
    return bytes(data)


def vast_scans_jpeg() -> bytes:
    """As many pixels as are allowed, gone over 150 times, with nothing new to see."""
    data = bytearray(saved(natural(16, 16), "JPEG", progressive=True))
    frame = data.index(b"\xff\xc2")
    data[frame + 5 : frame + 9] = struct.pack(">HH", 9_900, 9_900)
    scan = bytes(data[data.rindex(b"\xff\xda") : -2])
    return bytes(data[:-2]) + scan * 150 + b"\xff\xd9"


def padded_jpeg() -> bytes:
    """Four megabytes of fill bytes before its first segment."""
    data = saved(natural(16, 16), "JPEG")
    start = data.index(b"\xff\xdb")
    return data[:start] + b"\xff" * 2**22 + data[start:]


def junk_jpeg() -> bytes:
    """A megabyte of bytes that are no segment, an FF here and there."""
    data = saved(natural(16, 16), "JPEG")
    start = data.index(b"\xff\xdb")
    return data[:start] + (b"\0" * 1022 + b"\xff\0") * 2**10 + data[start:]


def many_tables_jpeg() -> bytes:
    """Its Huffman tables 4,000 times."""
    data = saved(natural(16, 16), "JPEG")
    start, scan = data.index(b"\xff\xc4"), data.index(b"\xff\xda")
    return data[:start] + data[start:scan] * 4_000 + data[scan:]


def cyclic_exif() -> bytes:
    """The directories of its Exif are each other."""
    entry = struct.pack("<HHII", 0x8769, 4, 1, 8) + struct.pack("<HHII", 0xA005, 4, 1, 8)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 2) + entry + struct.pack("<I", 8)
    return saved(natural(16, 16), "JPEG", exif=exif)


def _tiff(entries: list[tuple[int, int, int, int]], following: int, rest: bytes = b"") -> bytes:
    body = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\0" + struct.pack("<IH", 8, len(entries)) + body + struct.pack("<I", following) + rest


_PIXEL_TIFF: Final = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]


def cyclic_tiff() -> bytes:
    """Its only page is followed by itself."""
    return _tiff([*_PIXEL_TIFF, (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1)], 8)


def cyclic_sub_directories() -> bytes:
    """Its sub-directory and its Exif are itself."""
    return _tiff(
        [*_PIXEL_TIFF, (273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1), (330, 4, 1, 8), (34665, 4, 1, 8)], 0
    )


def many_pages_tiff() -> bytes:
    """100,000 pages of one pixel."""
    entries = [*_PIXEL_TIFF, (273, 4, 1, 0), (278, 4, 1, 1), (279, 4, 1, 1)]
    body = struct.pack("<H", len(entries)) + b"".join(struct.pack("<HHII", *entry) for entry in entries)
    size = len(body) + 4
    pages = [body + struct.pack("<I", 8 + (number + 1) * size) for number in range(FRAMES)]
    return b"II*\0" + struct.pack("<I", 8) + b"".join(pages)


def bomb_tiff() -> bytes:
    """One pixel whose strip unpacks to 64 MiB."""
    strip = _zeros(_BOMB)
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    start = 8 + 2 + 8 * 12 + 4
    return _tiff([*entries, (273, 4, 1, start), (278, 4, 1, 1), (279, 4, 1, len(strip))], 0, strip)


def vast_tile_tiff() -> bytes:
    """One pixel in a tile of four billion."""
    strip = zlib.compress(bytes(100))
    entries = [(256, 4, 1, 1), (257, 4, 1, 1), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    start = 8 + 2 + 9 * 12 + 4
    tile = [(322, 4, 1, 65_536), (323, 4, 1, 65_536), (324, 4, 1, start), (325, 4, 1, len(strip))]
    return _tiff([*entries, *tile], 0, strip)


def wide_row_tiff() -> bytes:
    """One row, as wide as is allowed, of 16 bits and three channels, with no data."""
    entries = [(256, 4, 1, 10**8), (257, 4, 1, 1), (258, 3, 1, 16), (259, 3, 1, 1), (262, 3, 1, 2)]
    return _tiff([*entries, (273, 4, 1, 8), (277, 3, 1, 3), (278, 4, 1, 1), (279, 4, 1, 8)], 0)


def many_strips_tiff() -> bytes:
    """It says that it has a billion strips."""
    lists = [(273, 4, 10**9, 8), (278, 4, 1, 1), (279, 4, 10**9, 8)]
    return _tiff([*_PIXEL_TIFF, *lists], 0, bytes(1000))


def many_tags_tiff() -> bytes:
    """1,000 tags of a gigabyte each."""
    tags = [(40_000 + number, 7, 10**9, 8) for number in range(1_000)]
    strip = [(273, 4, 1, 8), (278, 4, 1, 1), (279, 4, 1, 1)]
    return _tiff([*_PIXEL_TIFF, *strip, *tags], 0)


def far_big_tiff() -> bytes:
    """A BigTIFF whose first directory lies exbytes away."""
    return b"II+\0\x08\0\0\0" + struct.pack("<Q", 2**62)


def far_value_big_tiff() -> bytes:
    """A BigTIFF whose width lies there."""
    entry = struct.pack("<HHQQ", 256, 4, 9, 2**62)
    return b"II+\0\x08\0\0\0" + struct.pack("<QQ", 16, 1) + entry + bytes(8)


def outside_apng() -> bytes:
    """Its second frame lies outside the picture."""
    pixel, control = zlib.compress(b"\0\0"), struct.pack(">II", 2, 0)
    frames = [struct.pack(">IIIIIHHBB", at, side, side, off, off, 1, 100, 0, 0) for at, side, off in
              ((0, 1, 0), (1, 60_000, 2**31))]  # fmt: skip
    data = png_part(b"fdAT", struct.pack(">I", 2) + pixel)
    return png(1, 1, 8, 0, png_part(b"acTL", control), png_part(b"fcTL", frames[0]), png_part(b"IDAT", pixel),
                png_part(b"fcTL", frames[1]), data)  # fmt: skip


def strange_png() -> bytes:
    """99 bits per channel."""
    return png(5, 4, 99, 2, png_part(b"IDAT", zlib.compress(bytes(2_000))))


def vast_webp() -> bytes:
    """A canvas of 16,384 x 16,384 pixels with an animation of one."""
    frames = [Image.fromarray(natural(8, 8, seed=number)) for number in range(2)]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:])
    data = bytearray(out.getvalue())
    data[24:30] = (16_383).to_bytes(3, "little") * 2
    return bytes(data)


def vast_bmp() -> bytes:
    data = bytearray(saved(natural(4, 4), "BMP"))
    data[18:26] = struct.pack("<ii", 2**31 - 1, -(2**31))
    return bytes(data)


def many_colours_bmp() -> bytes:
    """It says that its palette has four billion colours."""
    data = bytearray(saved(natural(4, 4), "BMP", "P"))
    data[46:50] = b"\xff\xff\xff\xff"
    return bytes(data)


def run_away_bmp() -> bytes:
    """Run-length code that jumps out of the picture."""
    body = b"\0\2\xff\xff" * 1_000 + b"\0\1"
    palette = bytes(1024)
    head = struct.pack("<IiiHHIIiiII", 40, 6, 4, 1, 8, 1, len(body), 0, 0, 0, 0)
    start = 14 + len(head) + len(palette)
    return b"BM" + struct.pack("<IHHI", start + len(body), 0, 0, start) + head + palette + body


def unlike_formats() -> bytes:
    """The beginning of a PNG, the rest of a JPEG."""
    return _SIGNATURE + saved(natural(8, 8), "JPEG")


CRAFTED: Final[Mapping[str, Callable[[], bytes]]] = {
    made.__name__: made
    for made in (
        vast_png, short_png, overfull_png, text_bomb, profile_bomb, many_parts_png, endless_apng, lying_apng,
        outside_apng, strange_png, endless_gif, crumbled_gif, hollow_gif, vast_frame_gif, idle_gif,
        many_scans_jpeg, vast_scans_jpeg, vast_jpeg, stretched_jpeg, padded_jpeg, junk_jpeg, many_tables_jpeg,
        cyclic_exif, cyclic_tiff, cyclic_sub_directories, many_pages_tiff, bomb_tiff, vast_tile_tiff,
        wide_row_tiff, many_strips_tiff, many_tags_tiff, far_big_tiff, far_value_big_tiff, vast_webp,
        vast_bmp, many_colours_bmp, run_away_bmp, unlike_formats,
    )
}  # fmt: skip

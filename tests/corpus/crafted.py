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


def _part(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _zeros(size: int) -> bytes:
    """So many zeros, compressed."""
    packer, pieces, piece = zlib.compressobj(1), [], bytes(2**20)
    while size > 0:
        pieces.append(packer.compress(piece[:size]))
        size -= len(piece)
    return b"".join((*pieces, packer.flush()))


def _png(width: int, height: int, bits: int, colour: int, *parts: bytes) -> bytes:
    header = _part(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"".join((_SIGNATURE, header, *parts, _part(b"IEND", b"")))


def vast_png() -> bytes:
    """65,500 x 65,500 pixels of one colour, all of them there: 4.3 gigapixels in two megabytes."""
    return _png(SIDE, SIDE, 1, 0, _part(b"IDAT", _zeros(SIDE * (-(-SIDE // 8) + 1))))


def short_png() -> bytes:
    """As many pixels as are allowed, and data for none of them."""
    return _png(10_000, 10_000, 8, 2, _part(b"IDAT", zlib.compress(b"")))


def overfull_png() -> bytes:
    """One pixel, and data for 64 million of them."""
    return _png(1, 1, 8, 0, _part(b"IDAT", _zeros(_BOMB)))


def text_bomb() -> bytes:
    pixel = _part(b"IDAT", zlib.compress(b"\0\0"))
    return _png(1, 1, 8, 0, _part(b"zTXt", b"Comment\0\0" + _zeros(_BOMB)), pixel)


def profile_bomb() -> bytes:
    pixel = _part(b"IDAT", zlib.compress(b"\0\0\0\0"))
    return _png(1, 1, 8, 2, _part(b"iCCP", b"profile\0\0" + _zeros(_BOMB)), pixel)


def many_parts_png() -> bytes:
    """A hundred thousand empty parts before the picture."""
    pixel = _part(b"IDAT", zlib.compress(b"\0\0"))
    return _png(1, 1, 8, 0, _part(b"tEXt", b"") * 100_000, pixel)


def endless_apng() -> bytes:
    """100,000 frames of one pixel."""
    pixel, number, parts = zlib.compress(b"\0\0"), 0, [_part(b"acTL", struct.pack(">II", FRAMES, 0))]
    for frame in range(FRAMES):
        control = struct.pack(">IIIIIHHBB", number, 1, 1, 0, 0, 1, 100, 0, 0)
        number += 1
        parts.append(_part(b"fcTL", control))
        if frame == 0:
            parts.append(_part(b"IDAT", pixel))
        else:
            parts.append(_part(b"fdAT", struct.pack(">I", number) + pixel))
            number += 1
    return _png(1, 1, 8, 0, *parts)


def lying_apng() -> bytes:
    """It says that it has 4 billion frames."""
    control = _part(b"fcTL", struct.pack(">IIIIIHHBB", 0, 1, 1, 0, 0, 1, 100, 0, 0))
    animation = _part(b"acTL", struct.pack(">II", 2**32 - 1, 0))
    return _png(1, 1, 8, 0, animation, control, _part(b"IDAT", zlib.compress(b"\0\0")))


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


def unlike_formats() -> bytes:
    """The beginning of a PNG, the rest of a JPEG."""
    return _SIGNATURE + saved(natural(8, 8), "JPEG")


CRAFTED: Final[Mapping[str, Callable[[], bytes]]] = {
    made.__name__: made
    for made in (
        vast_png, short_png, overfull_png, text_bomb, profile_bomb, many_parts_png, endless_apng, lying_apng,
        endless_gif, crumbled_gif, many_scans_jpeg, vast_jpeg, stretched_jpeg, cyclic_tiff,
        cyclic_sub_directories, many_pages_tiff, bomb_tiff, vast_webp, vast_bmp, unlike_formats,
    )
}  # fmt: skip

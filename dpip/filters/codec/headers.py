"""Reading a file's header: format, size, frames. No pixel is decoded, no decoder is loaded.

This runs for every upload on the controller, so it is plain ``struct`` on a few dozen bytes (about 20 µs for
PNG and JPEG). Only GIF, animated WebP and TIFF are read further, to count frames. Here are the formats of
everyday; :mod:`dpip.filters.codec.probes` has the others. Sources: PNG 3rd ed. (W3C), ITU-T T.81, GIF89a, the
WebP container specification, TIFF 6.0, BITMAPINFOHEADER.
"""

from __future__ import annotations

import io
import os
import re
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from math import prod
from typing import BinaryIO

from dpip.errors import NotAnImage
from dpip.filters.codec.info import PictureInfo as PictureInfo
from dpip.filters.codec.info import unpack
from dpip.filters.codec.probes import boxes, foreign, heif, jpeg2000, jpegxl, raw, small
from dpip.filters.output import TABLE

#: Honest files stay below these limits, which bound the time that a hostile file can take.
MAX_FRAMES = 10_000
_MAX_PARTS = 10_000
_MAX_GIF_BLOCKS = 100_000
_GIF_BLOCK = 128
"""A GIF may have ``_MAX_GIF_BLOCKS``, and one more for each 128 bytes: usual writers fill blocks of 255."""
_GIF_IMAGE, _GIF_END = b",;"
_GIF_CONTROL = 0xF9
_JUNK = 16 * 1024  # bytes between segments that are searched at once


def probe(source: bytes | str | os.PathLike[str]) -> PictureInfo:
    """Read the header of a file, given as its bytes or its path.

    Raises NotAnImage for anything but the header of a format in :data:`dpip.filters.output.TABLE`, OSError if
    the path cannot be read.
    """
    if isinstance(source, bytes | bytearray | memoryview):
        return _probe(io.BytesIO(source))
    with open(source, "rb") as file:
        return _probe(file)


def _probe(file: BinaryIO) -> PictureInfo:
    start = file.read(16)
    name, parse = _parser(file, start)
    if parse is None:
        raise _not_taken(start, foreign.FILM if start[4:8] == b"ftyp" else foreign.kind_of(file))
    try:
        info = parse(file, start)
    except (struct.error, EOFError, IndexError, KeyError, ValueError, OverflowError) as problem:
        raise NotAnImage(
            f"The file looks like {name}, and its header is damaged or cut short.", damaged=True
        ) from problem
    if not info.width > 0 or not info.height > 0:
        raise NotAnImage(f"The {info.format} header says {info.width} x {info.height} pixels.", damaged=True)
    if info.pixel_bytes < 1:
        raise NotAnImage(f"The {info.format} header says pixels of no bytes.", damaged=True)
    if info.frames > MAX_FRAMES:
        raise NotAnImage(f"The {info.format} has more than {MAX_FRAMES:,} frames, which is the limit.")
    return info


def _not_taken(start: bytes, kind: foreign.ForeignKind) -> NotAnImage:
    """Say what the file is; ``picture`` among the members tells that it is one, of a kind not read."""
    if not start:
        words = "The file is empty."
    elif kind.words:
        words = f"The file looks like {kind.words}. {kind.advice or 'It is no picture.'}"
    else:
        words = (
            f"The file is not an image of a known kind. DPIP takes {', '.join(_READ[:-1])} and {_READ[-1]}."
        )
    return NotAnImage(words, picture=kind.picture)


_Parse = Callable[[BinaryIO, bytes], PictureInfo]


def _parser(file: BinaryIO, start: bytes) -> tuple[str, _Parse | None]:
    """Return what the file begins like, with an article, and the function for such headers."""
    if start[4:8] == b"ftyp":
        return _of_brand(file)
    for magic, (name, parse) in _PARSERS.items():
        if start.startswith(magic) and (magic != b"RIFF" or start[8:12] == b"WEBP"):
            return name, parse
    if small.looks_like_tga(file, start):
        return "a Targa", small.tga
    return "", None


def _of_brand(file: BinaryIO) -> tuple[str, _Parse | None]:
    """Tell by the brands which kind of picture it is that lies in the container of films, if any."""
    try:
        major, every = boxes.brands(file)
    except (ValueError, EOFError, struct.error):
        return "", None
    if major == b"crx ":
        return "a raw photograph (Canon CR3)", lambda file, _: raw.cr3(file)
    if heif.AVIF_BRANDS & {major} or (heif.AVIF_BRANDS & every and major in (b"mif1", b"msf1", b"miaf")):
        return "an AVIF picture", lambda file, _: heif.probe(file, "AVIF")
    if major in heif.HEIF_BRANDS:
        return "a HEIC/HEIF picture", lambda file, _: heif.probe(file, "HEIF")
    return "", None


def _png(file: BinaryIO, start: bytes) -> PictureInfo:
    if start[12:16] != b"IHDR":
        raise ValueError
    width, height, bits, colour, interlaced = unpack(file, ">IIBB2xB")
    channels = {0: 1, 2: 3, 3: 3, 4: 2, 6: 4}.get(colour)
    if channels is None:
        raise ValueError
    frames, transparent = 1, False
    file.seek(33)
    for _ in range(_MAX_PARTS):
        length, kind = unpack(file, ">I4s")
        if kind == b"IDAT":
            break
        if kind == b"acTL" and length == 8:
            frames = max(1, unpack(file, ">I")[0])
            length -= 4
        transparent |= kind == b"tRNS"
        file.seek(length + 4, 1)
    else:
        raise ValueError
    traits = {"interlaced": interlaced, "palette": colour == 3, "key": transparent and colour in (0, 2)}
    return PictureInfo(
        "PNG",
        width,
        height,
        channels + (transparent and channels in (1, 3)),
        bits,
        frames,
        traits=_true(traits),
    )


def _true(traits: Mapping[str, object]) -> frozenset[str]:
    return frozenset(name for name, is_so in traits.items() if is_so)


def _jpeg(file: BinaryIO, start: bytes) -> PictureInfo:
    """Read the frame header. The colours are known to be luma and chroma if an earlier segment says so."""
    file.seek(2)
    luma = exact = False
    listed: tuple[int, int] | None = None
    for _ in range(_MAX_PARTS):
        kind = _jpeg_marker(file)
        if kind <= 0x01 or 0xD0 <= kind <= 0xD7:  # these have no length; 0 is data and no marker
            continue
        (length,) = unpack(file, ">H")
        if kind == 0xF7:
            raise _not_taken(b"\xff", foreign.JPEG_LS)
        if 0xC0 <= kind <= 0xCF and kind not in (0xC4, 0xC8, 0xCC):
            bits, height, width, channels = unpack(file, ">BHHB")
            sampling = file.read(3 * channels)[1:2]
            traits = {
                "progressive": kind in (0xC2, 0xC6, 0xCA, 0xCE),
                "luma": luma and channels == 3,
                "fine": sampling not in _JPEG_COARSE,
                "exact": exact,
            }
            views = _views(file, listed, (width, height)) if listed else 0
            return PictureInfo("JPEG", width, height, channels, bits, 1 + views, traits=_true(traits))
        if kind in (_JPEG_APP0, _JPEG_APP14):
            body = file.read(max(0, length - 2))
            luma |= body.startswith(b"JFIF\0") if kind == _JPEG_APP0 else _is_adobe_luma(body)
        elif kind == _JPEG_TABLES:
            exact |= sum(file.read(max(0, length - 2))[1:65]) < _JPEG_EXACT
        else:
            place = file.tell()
            if kind == _JPEG_APP2 and listed is None and file.read(4) == b"MPF\0":
                listed = (place, place + length - 2)
            file.seek(place + length - 2)
    raise ValueError


#: Sampling of the first channel, across and down, with which the colours have a quarter of the pixels.
_JPEG_COARSE = (b"\x22", b"\x41")
_JPEG_APP0, _JPEG_APP2, _JPEG_APP14, _JPEG_TABLES = 0xE0, 0xE2, 0xEE, 0xDB
#: The sum of the first table of quantisation at quality 90, about; below, files are larger.
_JPEG_EXACT = 720


def _is_adobe_luma(body: bytes) -> bool:
    return body.startswith(b"Adobe") and body[11:12] == b"\1"


def _views(file: BinaryIO, listed: tuple[int, int], size: tuple[int, int]) -> int:
    from dpip.filters.metadata import multipicture  # few pictures need it, and every start would wait for it

    return multipicture.views(file, *listed, size)


def _jpeg_marker(file: BinaryIO) -> int:
    """Find the next marker. What lies between segments is skipped, as decoders do it."""
    size = 2  # enough when nothing lies between
    while piece := file.read(size):
        start = piece.find(b"\xff")
        marker = piece[start:].lstrip(b"\xff") if start >= 0 else b""
        if marker:
            file.seek(1 - len(marker), os.SEEK_CUR)
            return marker[0]
        if start >= 0 and len(piece) > 1:
            file.seek(-1, os.SEEK_CUR)  # a marker may begin with the last byte
        size = _JUNK
    raise EOFError


def _gif(file: BinaryIO, start: bytes) -> PictureInfo:
    """Read a GIF's header and count its frames.

    Decoders enlarge the screen for a frame that exceeds it. So the picture's size includes the first frame,
    and ``pixels`` counts every frame as large as the largest.
    """
    screen = struct.unpack("<HH", start[6:10])
    extents, transparent = _gif_frames(file, start[10])
    if not extents:
        raise ValueError
    width, height = (max(known, first) for known, first in zip(screen, extents[0], strict=True))
    right, bottom = (max(known) for known in zip((width, height), *extents, strict=True))
    pixels, sizes = right * bottom * len(extents), ((right, bottom),)
    channels = 4 if transparent else 3
    return PictureInfo("GIF", width, height, channels, frames=len(extents), pixels=pixels, sizes=sizes)


_GIF_KNOWN = re.compile(rb"[!,;]")


def _gif_frames(file: BinaryIO, flags: int) -> tuple[list[tuple[int, int]], bool]:
    """Return the right and lower end of each image, as far as the file is whole, and if any has a colour that
    is transparent.

    Stops soon after ``MAX_FRAMES``. What lies between blocks is skipped, as decoders do it.
    """
    file.seek(13)
    data = file.read()
    position = 3 << ((flags & 7) + 1) if flags & 0x80 else 0
    extents: list[tuple[int, int]] = []
    transparent = False
    blocks = _MAX_GIF_BLOCKS + len(data) // _GIF_BLOCK
    while (known := _GIF_KNOWN.search(data, position)) and len(extents) <= MAX_FRAMES:
        position = known.start()
        if data[position] == _GIF_END or position + 10 > len(data):
            break
        if data[position] == _GIF_IMAGE:
            left, top, width, height, local = struct.unpack_from("<HHHHB", data, position + 1)
            extents.append((left + width, top + height))
            position += 11 + (3 << ((local & 7) + 1) if local & 0x80 else 0)
        else:
            transparent |= data[position + 1] == _GIF_CONTROL and bool(data[position + 3] & 1)
            position += 2
        while blocks and position < len(data) and data[position]:
            position += 1 + data[position]
            blocks -= 1
        position += 1
        blocks -= 1
        if blocks <= 0:
            raise NotAnImage("The GIF is made of tiny pieces, more than DPIP puts together.")
    return extents, transparent


def _webp(file: BinaryIO, start: bytes) -> PictureInfo:
    kind = start[12:16]
    file.seek(20)
    if kind == b"VP8 ":
        code, width, height = unpack(file, "<3x3sHH")
        if code != b"\x9d\x01\x2a":
            raise ValueError
        return PictureInfo("WEBP", width & 0x3FFF, height & 0x3FFF, 3)
    if kind == b"VP8L":
        mark, sizes = unpack(file, "<BI")
        if mark != 0x2F:
            raise ValueError
        alpha = sizes >> 28 & 1
        width, height = (sizes & 0x3FFF) + 1, (sizes >> 14 & 0x3FFF) + 1
        return PictureInfo("WEBP", width, height, 3 + alpha, traits=_LOSSLESS)
    if kind != b"VP8X":
        raise ValueError
    flags, *sizes3 = unpack(file, "<B3x6B")
    width = 1 + int.from_bytes(bytes(sizes3[:3]), "little")
    height = 1 + int.from_bytes(bytes(sizes3[3:]), "little")
    kinds = Counter(_riff_chunks(file))
    frames = max(1, kinds[b"ANMF"]) if flags & 0x02 else 1
    traits = _LOSSLESS if flags & 0x02 or kinds[b"VP8L"] else frozenset[str]()  # frames may be either
    alpha = flags & 0x12 or kinds[b"ALPH"] or kinds[b"VP8L"]
    return PictureInfo("WEBP", width, height, 4 if alpha else 3, frames=frames, traits=traits)


_LOSSLESS = frozenset({"lossless"})


def _riff_chunks(file: BinaryIO) -> Iterator[bytes]:
    """Yield the kinds of the chunks after the first, as far as the file is whole."""
    file.seek(30)
    for _ in range(_MAX_PARTS):
        header = file.read(8)
        if len(header) < 8:
            return
        length = int.from_bytes(header[4:], "little")
        file.seek(length + (length & 1), 1)
        yield header[:4]
    raise NotAnImage(f"The WEBP has more than {_MAX_PARTS:,} parts, which is the limit.")


_BMP_MASKS = 3  # which say where each channel's bits are, so that there may be alpha


def _bmp(file: BinaryIO, start: bytes) -> PictureInfo:
    file.seek(14)
    (size,) = unpack(file, "<I")
    if size == 12:
        width, height, _, bits, compression = *unpack(file, "<HHHH"), 0
    elif size in (40, 52, 56, 64, 108, 124):
        width, height, _, bits, compression = unpack(file, "<iiHHI")
    else:
        raise ValueError
    return PictureInfo("BMP", width, abs(height), 4 if bits == 32 and compression == _BMP_MASKS else 3)


def _tiff(file: BinaryIO, start: bytes) -> PictureInfo:
    order = "<" if start[:2] == b"II" else ">"
    big = start[2:4] in (b"+\0", b"\0+")
    # An entry is tag, type, count, value; the wide form is BigTIFF's.
    word, count, entry = ("Q", "Q", "HHQ8s") if big else ("I", "H", "HHI4s")
    (offset,) = struct.unpack_from(order + word, start, 8 if big else 4)
    end = file.seek(0, os.SEEK_END)
    pages: list[dict[int, int]] = []
    within = False
    seen: set[int] = set()
    while offset and len(pages) <= MAX_FRAMES:
        if offset in seen or offset >= end:  # file systems refuse to seek far beyond the end
            raise ValueError
        seen.add(offset)
        file.seek(offset)
        entries = unpack(file, order + count)[0]
        if entries > 4096:
            raise ValueError
        tags: dict[int, int] = {}
        for _ in range(entries):
            tag, kind, number, value = unpack(file, order + entry)
            within |= tag == _TIFF_WITHIN
            if tag in _TIFF_TAGS and tag not in tags:  # the decoder goes by the first, too
                tags[tag] = _tiff_value(file, end, order, kind, number, value)
        if not pages and raw.is_raw(tags, start):
            return raw.tiff(file, start)
        pages.append(tags)
        offset = unpack(file, order + word)[0]
    channels, bits = max(map(_tiff_samples, pages), key=prod)
    sizes = [(page.get(256, 0), page.get(257, 0)) for page in pages]
    packed = {page.get(_TIFF_COMPRESSION, 1) for page in pages}
    tiled = any(_TIFF_TILE in page for page in pages)
    levels = within or len(set(sizes)) > 1
    plain, bare = packed <= _TIFF_PLAIN and not tiled, packed == {1} and not tiled
    traits = _true({"levels": levels, "plain": plain, "raw": bare, "lzma": _TIFF_LZMA in packed})
    pixels, different = sum(width * height for width, height in sizes), tuple(dict.fromkeys(sizes))
    return PictureInfo("TIFF", *sizes[0], channels, bits, len(pages), pixels, different, traits)


# width, height, bits, compression, photometric interpretation, samples per pixel, tile width, sample format;
# and, for raw photographs, the page's role, pages within it, the version of DNG
_TIFF_TAGS = (256, 257, 258, 259, 262, 277, 322, 339, 254, 330, 50706)
_TIFF_COMPRESSION, _TIFF_TILE = 259, 322
_TIFF_PLAIN, _TIFF_LZMA = frozenset({1, 8, 32946}), 34925  # not compressed, or by Deflate
_TIFF_FLOAT = 3
_TIFF_WITHIN = 330  # directories within a page


def _tiff_samples(page: dict[int, int]) -> tuple[int, int]:
    """Return the channels of a page as they are decoded, and the bits of each: 8, 16, 32 or 64."""
    bits, samples = page.get(258, 1), page.get(277, 1)
    channels = samples + 2 if page.get(262) == 3 else samples
    if page.get(339) == _TIFF_FLOAT:
        return channels, 64 if bits > 32 else 32
    return channels, 8 if bits <= 8 else 16 if bits <= 16 else 64


def _tiff_value(file: BinaryIO, end: int, order: str, kind: int, number: int, value: bytes) -> int:
    """Return an entry's first number (BYTE, SHORT, LONG or LONG8), from the entry or from where it points."""
    code, size = {1: ("B", 1), 3: ("H", 2), 4: ("I", 4), 13: ("I", 4), 16: ("Q", 8), 18: ("Q", 8)}[kind]
    if size * number <= len(value):
        return int(struct.unpack_from(order + code, value)[0])
    (place,) = struct.unpack(order + ("Q" if len(value) == 8 else "I"), value)
    if place >= end:
        raise ValueError
    back = file.tell()
    file.seek(place)
    first = int(unpack(file, order + code)[0])
    file.seek(back)
    return first


_READ = [format.name for format in TABLE]
_RAWS: dict[bytes, tuple[str, _Parse]] = {
    magic: (f"a raw photograph ({kind})", raw.probe) for magic, kind in raw.MAGICS.items()
}
_PARSERS: dict[bytes, tuple[str, _Parse]] = {
    b"\x89PNG\r\n\x1a\n": ("a PNG", _png),
    b"\xff\xd8\xff": ("a JPEG", _jpeg),
    b"GIF87a": ("a GIF", _gif),
    b"GIF89a": ("a GIF", _gif),
    b"RIFF": ("a WebP", _webp),
    b"BM": ("a BMP", _bmp),
    b"II*\0": ("a TIFF", _tiff),
    b"MM\0*": ("a TIFF", _tiff),
    b"II+\0": ("a TIFF", _tiff),
    b"MM\0+": ("a TIFF", _tiff),
    **_RAWS,
    jpeg2000.BOXES: ("a JPEG 2000", jpeg2000.probe),
    jpeg2000.CODESTREAM: ("a JPEG 2000", jpeg2000.probe),
    jpegxl.BOXES: ("a JPEG XL", jpegxl.probe),
    jpegxl.CODESTREAM: ("a JPEG XL", jpegxl.probe),
    b"qoif": ("a QOI", small.qoi),
    b"DDS ": ("a DirectDraw surface", small.dds),
    b"\0\0\1\0": ("an icon", small.ico),
    **{b"\0\0\2\0" + bytes((count, 0)): ("a cursor", small.ico) for count in range(1, 33)},
    **{
        b"P%d" % kind + end: ("a PNM", small.netpbm)
        for kind in range(1, 8)
        for end in (b"\n", b" ", b"\r", b"\t")
    },
    **{kind + end: ("a PFM", small.netpbm) for kind in (b"PF", b"Pf") for end in (b"\n", b" ", b"\r")},
}

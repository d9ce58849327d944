"""PNG: our own reader and writer for 8 and 16 bits per channel; Pillow reads palettes and fewer bits.

Pillow reduces 16-bit colour to 8, and its codec takes 60 to 90 % of a job's time. Source: PNG 3rd ed. (W3C).
"""

from __future__ import annotations

import itertools
import struct
import zlib
from collections.abc import Iterable, Iterator
from fractions import Fraction

import attrs
import numpy as np
import numpy.typing as npt
from PIL import Image

from dpip.errors import CorruptPicture
from dpip.filters.alpha import channel_count
from dpip.filters.codec import changes, deflate, pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.indexed import Indexed, indexed
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.upright import upright
from dpip.filters.kernels import png_rows
from dpip.filters.metadata import exif, png

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}
#: Allowed bits by colour type (table 11.1).
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
_COLOUR = {1: 0, 2: 4, 3: 2, 4: 6}
_LEVEL = 6  # of compression for few colours, which is worth its time there
# Adam7: first column and row, step across and down, of each pass.
PASSES = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))


@attrs.frozen
class _Header:
    width: int
    height: int
    bits: int
    colour: int
    compression: int
    filtering: int
    interlaced: int

    def check(self) -> None:
        """Raise CorruptPicture for numbers that a PNG cannot have."""
        if self.bits not in _BITS.get(self.colour, ()):
            raise CorruptPicture(
                f"The PNG is damaged: it cannot have {self.bits} bits with colour type {self.colour}."
            )
        if self.compression or self.filtering or self.interlaced > 1:
            raise CorruptPicture("The PNG is damaged: its header names methods that there are not.")


def decode(data: bytes, budget: DecodeBudget) -> Picture:
    """Decode stills of 8 or 16 bits here, interlaced or not, with or without colour key; others by Pillow.

    Raises CorruptPicture, also for a wrong checksum.
    """
    chunks = list(_chunks(data))
    header = _Header(*struct.unpack(">IIBBBBB", chunks[0][1]))
    header.check()
    metadata, notices = png.read(chunks)
    kinds = {kind for kind, _ in chunks}
    if header.bits < 8 or header.colour not in _CHANNELS or b"acTL" in kinds:
        style = {"colours": 1 << header.bits} if header.bits <= 8 and header.colour in (0, 3) else {}
        picture = pillow.decode(data, "PNG", budget)
        return attrs.evolve(picture, metadata=metadata, style=style, notices=notices)
    budget.take_frame(header.width, header.height, _CHANNELS[header.colour] * header.bits // 8)
    pixels = _pixels(header, b"".join(body for kind, body in chunks if kind == b"IDAT"))
    key = next((body for kind, body in chunks if kind == b"tRNS"), None)
    if key is not None and header.colour in (0, 2):
        pixels = _colour_key(pixels, key)
    turn = exif.orientation(metadata.exif, metadata.xmp)
    return Picture("PNG", (Frame(upright(pixels, turn)),), metadata=metadata, notices=notices)


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Yield (kind, body) up to IEND; checksums are verified."""
    position = len(SIGNATURE)
    while position + 12 <= len(data):
        length, kind = struct.unpack_from(">I4s", data, position)
        end = position + 8 + length
        if end + 4 > len(data):
            break
        body = data[position + 8 : end]
        if zlib.crc32(body, zlib.crc32(kind)) != struct.unpack_from(">I", data, end)[0]:
            raise CorruptPicture(f"The PNG is damaged: the checksum of its part {kind!r} is wrong.")
        if kind == b"IEND":
            return
        yield kind, body
        position = end + 4
    raise CorruptPicture("The PNG is cut short.")


def _pixels(header: _Header, packed: bytes) -> Pixels:
    channels = _CHANNELS[header.colour]
    step = channels * header.bits // 8
    if not header.interlaced:
        raw = deflate.inflate(packed, header.height * (header.width * step + 1))
        flat = _unfilter(np.frombuffer(raw, np.uint8), header.width, header.height, step)
    else:
        flat = _deinterlace(header, packed, step)
    shape = (header.height, header.width, channels)
    if header.bits == 16:
        return flat.view(">u2").astype(np.uint16).reshape(shape if channels > 1 else shape[:2])
    return flat.reshape(shape if channels > 1 else shape[:2])


def _unfilter(rows: npt.NDArray[np.uint8], width: int, height: int, step: int) -> npt.NDArray[np.uint8]:
    size = width * step
    flat = np.empty((height + 1) * size, np.uint8)
    flat[:size] = 0
    bad = np.zeros(1, np.uint8)
    png_rows.unfilter(rows, flat, size, step, bad)
    if bad[0]:
        raise CorruptPicture("The PNG is damaged: a row has an unknown filter type.")
    return flat[size:]


def _deinterlace(header: _Header, packed: bytes, step: int) -> npt.NDArray[np.uint8]:
    sizes = [
        (max(0, -(-(header.width - x) // across)), max(0, -(-(header.height - y) // down)))
        for x, y, across, down in PASSES
    ]
    raw = deflate.inflate(packed, sum(h * (w * step + 1) for w, h in sizes if w and h))
    picture = np.empty((header.height, header.width, step), np.uint8)
    rows = np.frombuffer(raw, np.uint8)
    for (x, y, across, down), (w, h) in zip(PASSES, sizes, strict=True):
        if w and h:
            length = h * (w * step + 1)
            picture[y::down, x::across] = _unfilter(rows[:length], w, h, step).reshape(h, w, step)
            rows = rows[length:]
    return picture.reshape(-1)


def _colour_key(pixels: Pixels, key: bytes) -> Pixels:
    """Add alpha: pixels of exactly the colour ``key`` are transparent."""
    planes = pixels if pixels.ndim == 3 else pixels[..., None]
    if len(key) < 2 * planes.shape[2]:
        raise CorruptPicture("The PNG is damaged: the colour that stands for transparent is cut short.")
    colour = np.frombuffer(key, ">u2", planes.shape[2]).astype(planes.dtype)
    opaque = (planes != colour).any(axis=2, keepdims=True)
    alpha = opaque.astype(planes.dtype) * planes.dtype.type(np.iinfo(planes.dtype).max)
    return np.concatenate((planes, alpha), axis=2)


def encode(pixels: Pixels, metadata: Metadata, colours: int = 0) -> bytes:
    """Encode H x W or H x W x C, uint8 or uint16, as a PNG; with a palette if it has so few ``colours``."""
    few = indexed(pixels, colours) if colours else None
    if few is not None:
        return _with_palette(few, metadata)
    parts = [SIGNATURE, chunk(b"IHDR", _ihdr(pixels)), *_metadata_chunks(metadata)]
    return b"".join((*parts, *_pieces(b"IDAT", compressed(pixels)), chunk(b"IEND", b"")))


def _with_palette(picture: Indexed, metadata: Metadata) -> bytes:
    """Encode numbers of a palette, or grays of few bits, without filtering: that does not help them."""
    height, width = picture.numbers.shape
    channels = picture.table.shape[1]
    colour = 0 if channels == 1 else 3
    header = struct.pack(">IIBBBBB", width, height, picture.bits, colour, 0, 0, 0)
    parts = [SIGNATURE, chunk(b"IHDR", header), *_metadata_chunks(metadata)]
    if colour:
        parts.append(chunk(b"PLTE", picture.table[:, :3].tobytes()))
    if channels == 4:
        parts.append(chunk(b"tRNS", picture.table[:, 3].tobytes().rstrip(b"\xff") or b"\xff"))
    packed = picture.packed()
    rows = np.zeros((height, packed.shape[1] + 1), np.uint8)
    rows[:, 1:] = packed
    return b"".join((*parts, chunk(b"IDAT", zlib.compress(rows.data, _LEVEL)), chunk(b"IEND", b"")))


def encode_animation(frames: Iterable[Frame], picture: Picture, metadata: Metadata) -> bytes:
    """Encode an APNG, every frame of which replaces what was there and is shown for its own time.

    If a picture stays, the next frame holds only what differs. Pillow's own writer joins frames that look
    alike and so loses some.
    """
    parts: list[bytes] = []
    sequence = 0
    staying: Pixels | None = None  # the picture before, if the next is drawn over it
    for number, frame in enumerate(frames):
        if number == 0:
            first = frame
            shown = picture.frame_count - frame.hidden
            plays = struct.pack(">II", shown, picture.loop or 0)
            parts += [SIGNATURE, chunk(b"IHDR", _ihdr(first.pixels)), *_metadata_chunks(metadata)]
            parts.append(chunk(b"acTL", plays))
        whole = pixels = _alike(frame.pixels, first.pixels)
        left = top = 0
        if staying is not None:
            rows, columns = changes.box(changes.changed(whole, staying))
            left, top, pixels = columns.start, rows.start, np.ascontiguousarray(whole[rows, columns])
        staying = None if frame.hidden or frame.disposal else whole
        if not frame.hidden:
            parts.append(chunk(b"fcTL", _frame_control(sequence, frame, pixels, left, top)))
            sequence += 1
        if number == 0:
            parts += _pieces(b"IDAT", compressed(pixels))
        else:
            parts.append(chunk(b"fdAT", struct.pack(">I", sequence) + compressed(pixels)))
            sequence += 1
    return b"".join((*parts, chunk(b"IEND", b"")))


def _frame_control(sequence: int, frame: Frame, pixels: Pixels, left: int, top: int) -> bytes:
    height, width = pixels.shape[:2]
    seconds = Fraction(frame.duration / 1000).limit_denominator(10_000)
    delay = (min(seconds.numerator, 65535), seconds.denominator)
    return struct.pack(">IIIIIHHBB", sequence, width, height, left, top, *delay, frame.disposal, 0)


def _alike(pixels: Pixels, first: Pixels) -> Pixels:
    """Convert to the channels of the first frame, which the file's header describes."""
    if pixels.shape[2:] == first.shape[2:]:
        return pixels
    return np.asarray(Image.fromarray(pixels).convert(Image.fromarray(first).mode))


def _ihdr(pixels: Pixels) -> bytes:
    height, width = pixels.shape[:2]
    colour = _COLOUR[channel_count(pixels)]
    return struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, colour, 0, 0, 0)


def compressed(pixels: Pixels) -> bytes:
    """Filter the rows and compress them: returns the contents of IDAT."""
    big_endian = pixels.astype(">u2").view(np.uint8) if pixels.dtype == np.uint16 else pixels
    height = pixels.shape[0]
    size = big_endian.size // height
    rows = np.empty(height * (size + 1), np.uint8)
    png_rows.filter_up(big_endian.reshape(-1), rows, size, 0, height)
    return deflate.compress(rows.data)


def chunk(kind: bytes, body: bytes) -> bytes:
    return b"".join(_pieces(kind, body))


def _pieces(kind: bytes, body: bytes) -> tuple[bytes, bytes, bytes, bytes]:
    """Return the parts of a chunk, without a copy of ``body``."""
    return struct.pack(">I", len(body)), kind, body, struct.pack(">I", zlib.crc32(body, zlib.crc32(kind)))


def _metadata_chunks(metadata: Metadata) -> Iterator[bytes]:
    return itertools.starmap(chunk, png.chunks(metadata))

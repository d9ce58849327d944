"""PBM, PGM, PPM, PAM (together PNM) and PFM: samples after a header of text. Source: the netpbm manual."""

from __future__ import annotations

from typing import Any

import numpy as np

from dpip.errors import CorruptPicture
from dpip.filters.alpha import channel_count
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.colours import scaled
from dpip.filters.codec.info import PictureInfo
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.probes.small import netpbm_header

_PIECE = 1 << 16  # bytes
_TUPLES = {2: "GRAYSCALE_ALPHA", 4: "RGB_ALPHA"}


def decode(data: bytes, budget: DecodeBudget, info: PictureInfo) -> Picture:
    """Decode the first picture of the file. Raises CorruptPicture when it is cut short."""
    budget.take_frame(info.width, info.height, info.pixel_bytes)
    _, most, place = netpbm_header(data)
    shape = (info.height, info.width, info.channels)[: 2 if info.channels == 1 else 3]
    if info.format == "PFM":
        pixels, used = _floats(data, place, shape, most)
    elif data[:2] in (b"P1", b"P4"):
        pixels, used = _bits(data, place, info.width, info.height)
    else:
        pixels, used = _samples(data, place, shape, int(most))
    notices = []
    if data[used:].lstrip()[:1] == b"P":
        notices.append("The file holds further pictures: only the first was taken.")
    style = {"one_bit": data[:2] in (b"P1", b"P4")}
    return Picture(info.format, (Frame(np.ascontiguousarray(pixels)),), style=style, notices=notices)


def _taken(data: bytes, place: int, kind: str, count: int) -> Any:
    if len(data) - place < count * np.dtype(kind).itemsize:
        raise CorruptPicture("The picture is cut short.")
    return np.frombuffer(data, kind, count, place)


def _samples(data: bytes, place: int, shape: tuple[int, ...], most: int) -> tuple[Pixels, int]:
    count = int(np.prod(shape))
    kind = ">u1" if most < 256 else ">u2"
    if data[:2] in (b"P2", b"P3"):
        samples, used = _numbers(data, place, count), len(data)
    else:
        samples, used = _taken(data, place, kind, count), place + count * np.dtype(kind).itemsize
    if int(samples.max(initial=0)) > most:
        raise CorruptPicture(f"The picture is damaged: it has samples above its maximum, {most}.")
    top, wide = (255, np.uint8) if most < 256 else (65535, np.uint16)
    if most != top:
        samples = scaled(samples, most, top)
    return samples.astype(wide).reshape(shape), used


def _numbers(data: bytes, place: int, count: int) -> Any:
    """Read so many words, a piece at a time: as objects all would take twenty times as much."""
    numbers = np.empty(count, np.uint32)
    taken, rest = 0, b""
    while taken < count:
        piece = data[place : place + _PIECE]
        place += _PIECE
        words = (rest + piece).split()
        rest = words.pop() if words and piece and not piece[-1:].isspace() else b""
        if not (words or piece) or len(rest) >= _PIECE:
            raise CorruptPicture("The picture is cut short.")
        words = words[: count - taken]
        numbers[taken : taken + len(words)] = [int(word) for word in words]
        taken += len(words)
    return numbers


def _bits(data: bytes, place: int, width: int, height: int) -> tuple[Pixels, int]:
    """Return a picture of bits, in which 1 is black."""
    if data[:2] == b"P1":
        digits = np.frombuffer(data, np.uint8, offset=place)
        digits = digits[(digits == 0x30) | (digits == 0x31)][: width * height]
        if digits.size < width * height:
            raise CorruptPicture("The picture is cut short.")
        return np.asarray(0x31 - digits, np.uint8).reshape(height, width) * np.uint8(255), len(data)
    row = -(-width // 8)
    packed = _taken(data, place, "u1", row * height).reshape(height, row)
    bits = np.unpackbits(packed, axis=1)[:, :width]
    return (1 - bits) * np.uint8(255), place + row * height


def _floats(data: bytes, place: int, shape: tuple[int, ...], scale: float) -> tuple[Pixels, int]:
    """Return floating point; rows come from the bottom, and the sign of the scale is the order of bytes."""
    count = int(np.prod(shape))
    samples = _taken(data, place, "<f4" if scale < 0 else ">f4", count)
    return samples.astype(np.float32).reshape(shape)[::-1], place + 4 * count


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode 8 or 16 bits: PGM and PPM, PAM with alpha, PBM if the original was and the result can be."""
    height, width = pixels.shape[:2]
    channels = channel_count(pixels)
    if style.get("one_bit") and channels == 1 and not (pixels % np.iinfo(pixels.dtype).max).any():
        return b"P4\n%d %d\n" % (width, height) + np.packbits(pixels == 0, axis=1).tobytes()
    most = np.iinfo(pixels.dtype).max
    samples = pixels.astype(">u2").tobytes() if most > 255 else pixels.tobytes()
    if channels in _TUPLES:
        head = f"P7\nWIDTH {width}\nHEIGHT {height}\nDEPTH {channels}\nMAXVAL {most}\n"
        return f"{head}TUPLTYPE {_TUPLES[channels]}\nENDHDR\n".encode() + samples
    return b"P%d\n%d %d\n%d\n" % (5 if channels == 1 else 6, width, height, most) + samples


def encode_floats(pixels: Pixels) -> bytes:
    """Encode gray or RGB as PFM; whole numbers become 0 to 1."""
    height, width = pixels.shape[:2]
    floats = pixels.astype(np.float32)
    if pixels.dtype.kind == "u":
        floats /= np.iinfo(pixels.dtype).max
    kind = b"Pf" if channel_count(pixels) == 1 else b"PF"
    return kind + b"\n%d %d\n-1.0\n" % (width, height) + floats[::-1].astype("<f4").tobytes()

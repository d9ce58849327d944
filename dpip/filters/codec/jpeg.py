"""JPEG through libjpeg-turbo (simplejpeg), which releases the GIL where Pillow's codec does not.

Metadata never goes through a library: see :mod:`dpip.filters.metadata.jpeg`. Sources: ITU-T T.81 for the
format, the Independent JPEG Group's jcparam.c for the scale of quality.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np
import numpy.typing as npt
import simplejpeg
from PIL import Image, ImageFile

from dpip.errors import CorruptPicture, UnsupportedPicture
from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.picture import Frame, Metadata, Picture, Pixels
from dpip.filters.codec.upright import upright
from dpip.filters.metadata import exif, jpeg
from dpip.filters.metadata.jpeg import DQT, segments

if TYPE_CHECKING:
    from dpip.filters.metadata.multipicture import Attributes, Following

_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Processes of T.81 that libjpeg-turbo or Pillow's build of it may not support.
_RARE = {0xC3: "a lossless one"} | dict.fromkeys((0xC5, 0xC6, 0xC7, 0xCD, 0xCE, 0xCF), "a hierarchical one")
_RARE |= dict.fromkeys((0xC9, 0xCA, 0xCB), "an arithmetically coded one")
DEFAULT_QUALITY = 90
MAX_SCANS = 200
"""A progressive JPEG has about ten, and few files have a hundred."""
MAX_SCANNED = 3 * 10**9
"""The limit on pixels times scans: ten scans of the largest picture are a third of it."""
_SCAN = b"\xff\xda"  # cannot occur in entropy-coded data, where a zero follows each FF

_SUBSAMPLINGS = ("444", "422", "420", "440", "411")


def decode(data: bytes, budget: DecodeBudget, *, luma: bool = False, at_least: int = 0) -> Picture:
    """Decode a JPEG; with ``luma`` the Y of a YCbCr file becomes gray, straight from the file.

    If ``at_least`` is not 0, the inverse cosine transform may give fewer pixels: that many each way or more.
    CMYK, and all that libjpeg-turbo rejects, goes to Pillow, which decides what is damaged.

    Raises CorruptPicture; UnsupportedPicture, also for too many scans: each takes as long as a picture.
    """
    scans = data.count(_SCAN)
    if scans > MAX_SCANS:
        raise UnsupportedPicture(f"The JPEG has more than {MAX_SCANS} scans, which is the limit.")
    parts = list(segments(data))
    frame = _frame(parts)
    if scans * frame.height * frame.width > MAX_SCANNED:
        raise UnsupportedPicture(
            f"The JPEG has {scans} scans, which are too many for a picture of this size."
        )
    metadata, notices = jpeg.read(parts)
    pixels, style, metadata = _decoded(data, parts, metadata, budget, luma, at_least, notices)
    first = Frame(pixels)
    picture = Picture("JPEG", (first,), metadata=metadata, style=style, notices=notices)
    return picture if at_least or jpeg.is_alone(data) else _with_others(data, picture, first, budget, luma)


@attrs.frozen
class StereoView:
    """What a file says of one of several pictures in it, alone."""

    metadata: Metadata
    attributes: Attributes


def _with_others(data: bytes, picture: Picture, first: Frame, budget: DecodeBudget, luma: bool) -> Picture:
    """Add what follows the first picture in its file: its gain map, and other views of the scene."""
    from dpip.filters.metadata import multipicture  # few files need it

    after = multipicture.following(data)
    picture.notices.extend(after.notices)
    picture = attrs.evolve(picture, gain=after.gain)
    if len(after.views) > budget.frames:  # an index so odd that the header's reader did not see it
        picture.notices.append("Further pictures in the file were left out.")
        return picture
    if not after.views:
        return picture
    view = StereoView(picture.metadata, multipicture.attributes(data, after.kinds[0]))
    frames = chain((attrs.evolve(first, origin=view),), _others(after, budget, luma))
    return attrs.evolve(picture, frames=frames, frame_count=1 + len(after.views), views=True)


def _others(after: Following, budget: DecodeBudget, luma: bool) -> Iterator[Frame]:
    """Decode the other views of a scene, each with its own metadata."""
    from dpip.filters.metadata import multipicture

    for data, kind in zip(after.views, after.kinds[1:], strict=True):
        with pillow.damage_as_corrupt():
            parts = list(segments(data))
            metadata, _ = jpeg.read(parts)
            pixels, _, metadata = _decoded(data, parts, metadata, budget, luma, 0, [])
            yield Frame(pixels, origin=StereoView(metadata, multipicture.attributes(data, kind)))


def _decoded(
    data: bytes,
    parts: list[tuple[int, bytes]],
    metadata: Metadata,
    budget: DecodeBudget,
    luma: bool,
    at_least: int,
    notices: list[str],
) -> tuple[Pixels, dict[str, Any], Metadata]:
    """Return the pixels, upright, how they were coded, and the metadata that is true of them."""
    fresh = attrs.evolve(budget)
    turn = exif.orientation(metadata.exif, metadata.xmp)
    try:
        height, width, colours, subsampling = simplejpeg.decode_jpeg_header(data)
        if colours not in ("YCbCr", "Gray", "RGB"):
            return _by_pillow(data, metadata, parts, budget, notices)
        budget.take_frame(width, height, 1 if colours == "Gray" else 3)
        gray = colours == "Gray" or (luma and colours == "YCbCr")
        pixels = simplejpeg.decode_jpeg(
            data, "GRAY" if gray else "RGB", min_height=at_least, min_width=at_least
        )
    except ValueError:
        budget.pixels, budget.frames = fresh.pixels, fresh.frames
        return _by_pillow(data, metadata, parts, budget, notices)
    kept = subsampling if subsampling in _SUBSAMPLINGS else "420"
    return upright(pixels[..., 0] if gray else pixels, turn), _style(parts) | {"subsampling": kept}, metadata


def _by_pillow(
    data: bytes,
    metadata: Metadata,
    parts: list[tuple[int, bytes]],
    budget: DecodeBudget,
    notices: list[str],
) -> tuple[Pixels, dict[str, Any], Metadata]:
    try:
        picture = pillow.decode(data, "JPEG", budget)
        (frame,) = picture.frames
    except CorruptPicture as problem:
        raise _rare(_frame(parts)) or problem from problem
    if _frame(parts).channels == 4:  # which Pillow has converted, by the profile if there is one
        notices.append("The colours were converted from CMYK to RGB.")
        metadata = attrs.evolve(metadata, icc=None)
    return frame.pixels, _style(parts) | {"subsampling": "420"}, metadata


@attrs.frozen
class _FrameHeader:
    """The frame header of T.81, B.2.2; ``marker`` names the process."""

    marker: int = 0xC0
    bits: int = 8
    height: int = 0
    width: int = 0
    channels: int = 3


def _frame(parts: list[tuple[int, bytes]]) -> _FrameHeader:
    for marker, payload in parts:
        if marker in _SOF and len(payload) >= 6:
            return _FrameHeader(marker, *struct.unpack_from(">BHHB", payload))
    return _FrameHeader()


def _rare(frame: _FrameHeader) -> UnsupportedPicture | None:
    """Say why no decoder here can read the picture even if it is whole; None if one could."""
    if frame.bits != 8:
        return UnsupportedPicture(f"The JPEG has {frame.bits} bits per channel; DPIP reads JPEGs of 8.")
    if frame.marker in _RARE:
        return UnsupportedPicture(f"The JPEG is {_RARE[frame.marker]}, which DPIP does not read.")
    if frame.channels not in (1, 3, 4):
        return UnsupportedPicture(f"The JPEG has {frame.channels} channels; DPIP reads 1, 3 and 4.")
    return None


def _style(parts: list[tuple[int, bytes]]) -> dict[str, Any]:
    tables = b"".join(payload for marker, payload in parts if marker == DQT)
    progressive = any(marker in (0xC2, 0xC6, 0xCA, 0xCE) for marker, _ in parts if marker in _SOF)
    return {"quality": estimate_quality(tables), "progressive": progressive}


def estimate_quality(tables: bytes) -> int:
    """Return the quality, 1 to 100, whose luminance table is nearest to that in the file's DQT payloads."""
    position = 0
    while position < len(tables):
        wide, number = tables[position] >> 4, tables[position] & 15
        kind = ">u2" if wide else "u1"
        size = 128 if wide else 64
        if number == 0 and position + 1 + size <= len(tables):
            table = np.frombuffer(tables, kind, 64, position + 1).astype(np.int64)
            distance = np.abs(_scaled_tables() - table).sum(axis=1)
            return int(np.flatnonzero(distance == distance.min())[-1]) + 1
        position += 1 + size
    return DEFAULT_QUALITY


# Annex K.1, in the zigzag order of the file.
_LUMINANCE = """
    16 11 12 14 12 10 16 14 13 14 18 17 16 19 24 40 26 24 22 22 24 49 35 37 29 40 58 51 61 60 57 51
    56 55 64 72 92 78 64 68 87 69 55 56 80 109 81 87 95 98 103 104 103 62 77 113 121 112 100 120 92 101 103 99
"""


@functools.cache
def _scaled_tables() -> npt.NDArray[np.int64]:
    quality = np.arange(1, 101)[:, None]
    scale = np.where(quality < 50, 5000 // quality, 200 - 2 * quality)
    base = np.array([int(number) for number in _LUMINANCE.split()])
    tables: npt.NDArray[np.int64] = np.clip((base * scale + 50) // 100, 1, 255)
    return tables


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any], notices: list[str]) -> bytes:
    """Encode an 8-bit gray or RGB array; ``style`` may hold quality, subsampling and progressive."""
    quality = style.get("quality", DEFAULT_QUALITY)
    subsampling = style.get("subsampling", "420")
    if style.get("progressive"):
        # Pillow knows three samplings; the rarer ones keep less colour than 4:2:2 and become 4:2:0.
        sampling = {"444": 0, "422": 1}.get(subsampling, 2)
        bare = _progressive(Image.fromarray(pixels), quality=quality, subsampling=sampling)
    elif pixels.ndim == 2:
        bare = simplejpeg.encode_jpeg(pixels[..., None], quality, "GRAY", "Gray")
    else:
        bare = simplejpeg.encode_jpeg(pixels, quality, "RGB", subsampling)
    return jpeg.with_metadata(bare, metadata, notices)


def _progressive(image: Image.Image, **options: Any) -> bytes:
    """Encode a progressive JPEG. Pillow's buffer must hold it all, and by itself is too small for noise."""
    out, block = io.BytesIO(), ImageFile.MAXBLOCK
    ImageFile.MAXBLOCK = max(block, 2 * len(image.getbands()) * image.width * image.height)
    try:
        image.save(out, "JPEG", progressive=True, **options)
    finally:
        ImageFile.MAXBLOCK = block
    return out.getvalue()

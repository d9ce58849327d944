"""BMP: Pillow codes the pixels; this module reads and writes the profile, which needs a longer header.

Source: Microsoft's BITMAPV5HEADER.
"""

from __future__ import annotations

import struct
from typing import Any

import attrs

from dpip.filters.codec import pillow
from dpip.filters.codec.budget import DecodeBudget
from dpip.filters.codec.indexed import indexed
from dpip.filters.codec.picture import Metadata, Picture, Pixels
from dpip.filters.metadata.spaces import Space

_FILE, _SHORT, _V4, _V5 = 14, 40, 108, 124  # bytes of headers
_CALIBRATED, _EMBEDDED, _LINKED = 0, 0x4D424544, 0x4C494E4B
_PICTURE_INTENT = 4


def decode(data: bytes, budget: DecodeBudget) -> Picture:
    """Decode a BMP, with the colours that its header tells of."""
    picture = pillow.decode(data, "BMP", budget)
    (size,) = struct.unpack_from("<I", data, _FILE)
    if size < _V4 or len(data) < _FILE + size:
        return picture
    (kind,) = struct.unpack_from("<I", data, _FILE + 56)
    metadata = picture.metadata
    if kind == _EMBEDDED and size >= _V5:
        start, length = struct.unpack_from("<II", data, _FILE + 112)
        profile = data[_FILE + start : _FILE + start + length]
        metadata = attrs.evolve(metadata, icc=profile if len(profile) == length and length else None)
    elif kind == _LINKED:
        picture.notices.append("The profile of the original is in another file, and was left out.")
    elif kind == _CALIBRATED:
        metadata = attrs.evolve(metadata, space=_space(data))
    return attrs.evolve(picture, metadata=metadata)


def _space(data: bytes) -> Space | None:
    """Return the colours of a header with primaries and gamma, if those make sense."""
    numbers = struct.unpack_from("<9i3I", data, _FILE + 60)
    colours = [tuple(number / (1 << 30) for number in numbers[at : at + 3]) for at in (0, 3, 6)]
    gamma = numbers[10] / 65536
    sums = [sum(colour) for colour in colours]
    if min(sums) <= 0.05 or min(min(colour) for colour in colours) < 0 or not 0.5 < gamma < 5:
        return None
    white = tuple(sum(parts) for parts in zip(*colours, strict=True))
    points = [part / sum(colour) for colour in (*colours, white) for part in colour[:2]]
    made = Space(tuple(points), gamma=gamma, name="calibrated")
    return made if min(points[1::2]) > 0.01 else None


def encode(pixels: Pixels, metadata: Metadata, style: dict[str, Any]) -> bytes:
    """Encode one picture; with few colours if the original had few."""
    few = indexed(pixels, style["colours"]) if "colours" in style else None
    if few is not None and few.table.shape[1] < 4:
        plain = pillow.encode_indexed(few, "BMP", metadata)
    else:
        plain = pillow.encode(pixels, "BMP", metadata)
    return _with_profile(plain, metadata.icc) if metadata.icc else plain


def _with_profile(plain: bytes, profile: bytes) -> bytes:
    """Lengthen the header, and put the profile at the end."""
    (pixels,) = struct.unpack_from("<I", plain, 10)
    (size,) = struct.unpack_from("<I", plain, _FILE)
    if size != _SHORT:
        return plain
    body = plain[_FILE + _SHORT :] + bytes(len(plain) % 2)
    end = _V5 + len(body)
    more = struct.pack(
        "<4II36x12xIII4x", 0xFF0000, 0xFF00, 0xFF, 0, _EMBEDDED, _PICTURE_INTENT, end, len(profile)
    )
    head = struct.pack("<I", _V5) + plain[_FILE + 4 : _FILE + _SHORT] + more
    whole = _FILE + end + len(profile)
    return b"BM" + struct.pack("<IHHI", whole, 0, 0, pixels + _V5 - _SHORT) + head + body + profile

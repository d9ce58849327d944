"""EXIF orientation: turning the pixels upright, and resetting the tag without touching anything else."""

from __future__ import annotations

import struct

import numpy as np

from dpip.filters.codec.picture import Pixels

_ORIENTATION = 0x0112
_PREFIX = b"Exif\x00\x00"


def bare_exif(exif: bytes | None) -> bytes | None:
    """Return the TIFF structure without the prefix that JPEG and some WebP writers put before it."""
    if not exif:
        return None
    return exif.removeprefix(_PREFIX)


def orientation(exif: bytes | None) -> int:
    """Return 1 to 8 as in the EXIF standard; 1 (upright) if it is missing or makes no sense."""
    found = _find_orientation(exif) if exif else None
    return found[1] if found is not None and 1 <= found[1] <= 8 else 1


def reset_orientation(exif: bytes | None) -> bytes | None:
    """Set the orientation to upright: one number is overwritten in place, so all offsets stay valid."""
    found = _find_orientation(exif) if exif else None
    if exif is None or found is None:
        return exif
    position, _, order = found
    return exif[:position] + struct.pack(order + "H", 1) + exif[position + 2 :]


def _find_orientation(exif: bytes) -> tuple[int, int, str] | None:
    """Return the position of the tag's value, the value, and the byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        (start,) = struct.unpack_from(order + "I", exif, 4)
        (count,) = struct.unpack_from(order + "H", exif, start)
        for entry in range(start + 2, start + 2 + 12 * count, 12):
            tag, kind, number = struct.unpack_from(order + "HHI", exif, entry)
            if tag == _ORIENTATION and kind == 3 and number == 1:
                return entry + 8, struct.unpack_from(order + "H", exif, entry + 8)[0], order
    except struct.error:
        return None
    return None


def upright(pixels: Pixels, turn: int) -> Pixels:
    """Turn the picture as the EXIF orientation ``turn`` tells; H and W are swapped for 5 to 8."""
    if turn >= 5:
        pixels = pixels.swapaxes(0, 1)
    if turn in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if turn in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)

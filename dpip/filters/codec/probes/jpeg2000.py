"""JPEG 2000, as a file of boxes or as a bare codestream. Source: ITU-T T.800."""

from __future__ import annotations

import io
import struct
from typing import BinaryIO

from dpip.filters.codec.info import PictureInfo, unpack
from dpip.filters.codec.probes import boxes

BOXES = b"\0\0\0\x0cjP  \r\n\x87\n"
CODESTREAM = b"\xff\x4f\xff\x51"


def probe(file: BinaryIO, start: bytes) -> PictureInfo:
    """Describe a picture. Raises ValueError, EOFError."""
    width, height, channels, bits = _size(file, start)
    return PictureInfo("JPEG2000", width, height, channels, 16 if bits > 8 else 8)


def depth(data: bytes) -> int:
    """Return the bits of a sample of a valid file."""
    return _size(io.BytesIO(data), data[:16])[3]


def _size(file: BinaryIO, start: bytes) -> tuple[int, int, int, int]:
    """Read width, height, channels and bits from the SIZ segment of the codestream."""
    palette = 0
    if not start.startswith(CODESTREAM):
        stream = None
        for box in boxes.walk(file):
            if box.kind == b"jp2h":
                palette = _palette(box.body(file))
            elif box.kind == b"jp2c":
                stream = box
                break
        if stream is None:
            raise ValueError
        file.seek(stream.start)
    else:
        file.seek(0)
    mark, _, right, bottom, left, top = unpack(file, ">4sHxxIIII")
    if mark != CODESTREAM:
        raise ValueError
    (components,) = unpack(file, ">16xH")
    depths = [unpack(file, ">B2x")[0] for _ in range(min(components, 16))]
    if not depths or any(depth & 0x80 for depth in depths):  # signed samples are no colours
        raise ValueError
    bits = max((depth & 0x7F) + 1 for depth in depths)
    channels = palette or components
    return right - left, bottom - top, channels, bits


def _palette(header: bytes) -> int:
    """Return the columns of the palette; 0 without one."""
    found = [body for kind, body in boxes.within(header) if kind == b"pclr"]
    return struct.unpack_from(">HB", found[0])[1] if found else 0

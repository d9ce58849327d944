"""TIFF files made here by hand, for what no library writes, and tifffile's view of results."""

from __future__ import annotations

import io
import struct
from typing import Any

import numpy as np
import tifffile

from tests.filters.pictures import Array

Value = tuple[int, int, bytes]  # type, count, bytes
_CODES = {1: "B", 3: "H", 4: "I", 12: "d"}


def numbers(kind: int, *values: float) -> Value:
    return kind, len(values), struct.pack(f"<{len(values)}{_CODES[kind]}", *values)


def fraction(over: int, under: int) -> Value:
    return 5, 1, struct.pack("<II", over, under)


def text(words: str) -> Value:
    return 2, len(words) + 1, words.encode() + b"\0"


def page(array: Array, more: dict[int, Value] | None = None, data: bytes | None = None) -> tuple[Any, ...]:
    """An uncompressed page of this array; ``more`` overrides and adds tags, ``data`` is the strip."""
    samples = array.shape[2] if array.ndim == 3 else 1
    strip = array.tobytes() if data is None else data
    entries = {
        256: numbers(4, array.shape[1]),
        257: numbers(4, array.shape[0]),
        258: numbers(3, *[8 * array.itemsize] * samples),
        259: numbers(3, 1),
        262: numbers(3, 2 if samples > 2 else 1),
        273: numbers(4, 0),
        277: numbers(3, samples),
        278: numbers(4, array.shape[0]),
        279: numbers(4, len(strip)),
    }
    return entries | (more or {}), strip


def tiff(*pages: tuple[Any, ...]) -> bytes:
    file = bytearray(b"II*\0\0\0\0\0")
    link = 4
    for entries, strip in pages:
        place = len(file)
        file += strip + bytes(len(strip) % 2)
        rows = b""
        for tag, (kind, count, value) in sorted((entries | {273: numbers(4, place)}).items()):
            if len(value) > 4:
                value, long = struct.pack("<I", len(file)), value
                file += long + bytes(len(long) % 2)
            rows += struct.pack("<HHI", tag, kind, count) + value.ljust(4, b"\0")
        struct.pack_into("<I", file, link, len(file))
        file += struct.pack("<H", len(entries)) + rows + bytes(4)
        link = len(file) - 4
    return bytes(file)


def packed(samples: Array, bits: int) -> bytes:
    """Rows of samples of so many bits each."""
    rows = samples.reshape(len(samples), -1).astype(">u2").view(np.uint8).reshape(len(samples), -1, 2)
    return np.packbits(
        np.unpackbits(rows, axis=2)[..., 16 - bits :].reshape(len(samples), -1), axis=1
    ).tobytes()


def written(array: Array, **options: Any) -> bytes:
    """The array as tifffile writes it."""
    out = io.BytesIO()
    tifffile.imwrite(out, array, **{"metadata": None, **options})
    return out.getvalue()


def pages(data: bytes) -> list[Any]:
    return list(tifffile.TiffFile(io.BytesIO(data)).pages)


def array(data: bytes) -> Array:
    found: Array = pages(data)[0].asarray()
    return found

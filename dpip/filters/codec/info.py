"""What a file's header says of its picture, and reading such headers."""

from __future__ import annotations

import struct
from typing import Any, BinaryIO

import attrs

from dpip.filters.output import CONTENT_TYPES


@attrs.frozen
class PictureInfo:
    """``pixels`` is summed over all frames; ``channels`` and ``bits`` are those of the decoded array.

    ``sizes`` are all sizes that frames have, at most. ``traits`` says what else decides how much memory it
    takes to decode and encode: see :mod:`dpip.filters.codec.memory`.
    """

    format: str
    width: int
    height: int
    channels: int
    bits: int = 8
    frames: int = 1
    pixels: int = attrs.field()
    sizes: tuple[tuple[int, int], ...] = attrs.field()
    traits: frozenset[str] = frozenset()

    @pixels.default
    def _every_frame_alike(self) -> int:
        return self.width * self.height * self.frames

    @sizes.default
    def _that_of_the_picture(self) -> tuple[tuple[int, int], ...]:
        return ((self.width, self.height),)

    @property
    def content_type(self) -> str:
        return CONTENT_TYPES[self.format]

    @property
    def pixel_bytes(self) -> int:
        """The bytes of a decoded pixel."""
        return self.channels * -(-self.bits // 8)


def unpack(file: BinaryIO, layout: str) -> tuple[Any, ...]:
    """Read a structure. Raises EOFError when the file ends within it."""
    size = struct.calcsize(layout)
    data = file.read(size)
    if len(data) < size:
        raise EOFError
    return struct.unpack(layout, data)

"""A decoded picture: its frames as arrays, and all that must survive the way through a filter."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from dpip.filters.schema import Pixels as Pixels


@attrs.frozen
class Metadata:
    """``exif`` is a TIFF structure (from "II" or "MM" on), ``icc`` a profile, ``xmp`` an XML packet, ``dpi``
    the resolution; ``extra`` are parts that only the original's own format knows, as (kind, bytes)."""

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    extra: tuple[tuple[Any, bytes], ...] = ()


@attrs.frozen
class Frame:
    """One frame or page: uint8 or uint16, H x W, or H x W x 2, 3, 4 with alpha last where even.

    ``duration`` is in milliseconds; ``disposal`` is the number of the picture's own format.
    """

    pixels: Pixels
    duration: float = 0
    disposal: int = 0
    #: Shown by programs that cannot animate, and no part of the animation (APNG).
    hidden: bool = False


@attrs.frozen
class Picture:
    """``frames`` decodes lazily and only once; ``style`` is how the original was written (see each codec)."""

    format: str
    frames: Iterable[Frame]
    frame_count: int = 1
    metadata: Metadata = Metadata()
    #: How often an animation plays, 0 for ever; None where it is not said.
    loop: int | None = None
    style: dict[str, Any] = attrs.field(factory=dict)

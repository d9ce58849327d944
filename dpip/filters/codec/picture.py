"""A decoded picture: its frames as arrays, and all that a filter must keep."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import attrs

from dpip.filters.schema import Area as Area
from dpip.filters.schema import Pixels as Pixels


@attrs.frozen
class Metadata:
    """What a file says besides its pixels.

    ``exif`` is a TIFF structure (from "II" or "MM" on), ``icc`` a profile, ``xmp`` an XML packet, ``dpi`` the
    resolution; ``extra`` has parts that only the original's own format knows, as (kind, bytes).
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    extra: tuple[tuple[Any, bytes], ...] = ()


@attrs.frozen
class Frame:
    """One frame or page, H x W, or H x W x 2, 3, 4 with alpha last if even; see ``groups`` for more channels.

    ``duration`` is in milliseconds; ``disposal`` is a number of the picture's own format.
    """

    pixels: Pixels
    duration: float = 0
    disposal: int = 0
    #: The frame is for programs that cannot animate, and not part of the animation (APNG).
    hidden: bool = False
    #: How many of the channels belong together, see :mod:`dpip.filters.groups`; empty if all do.
    groups: tuple[int, ...] = ()
    #: What the picture's own codec wants to know when it writes the frame.
    origin: Any = attrs.field(default=None, repr=False)
    #: What a filter has done to the place of the pixels since the frame was read.
    area: Area = "same"


@attrs.frozen
class Picture:
    """A file's content: ``frames`` decodes lazily, once; ``style`` is how it was coded (see the codecs)."""

    format: str
    frames: Iterable[Frame]
    frame_count: int = 1
    metadata: Metadata = Metadata()
    #: How often an animation plays: 0 is for ever, None is not stated.
    loop: int | None = None
    style: dict[str, Any] = attrs.field(factory=dict)
    #: What the result lacks of the original, a sentence each for its owner. Decoders and encoders add to it.
    notices: list[str] = attrs.field(factory=list)

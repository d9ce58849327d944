"""A decoded picture: its frames as arrays, and all that a filter must keep."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import attrs

from dpip.filters.metadata.parts import Metadata as Metadata
from dpip.filters.schema import Area as Area
from dpip.filters.schema import Pixels as Pixels


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
    #: What a filter has done to the place of the pixels since the frame was read, and its size then.
    area: Area = "same"
    before: tuple[int, int] | None = None
    #: What the filters would do to a map that belongs to the picture; None if no map is true of it any more.
    along: tuple[Callable[[Pixels], Pixels], ...] | None = ()
    #: The colours have been converted to sRGB, so the original's profile is not true of them.
    converted: bool = False


@attrs.frozen
class Picture:
    """A file's content: ``frames`` decodes lazily, once; ``style`` is how it was coded (see the codecs)."""

    format: str
    frames: Iterable[Frame]
    frame_count: int = 1
    metadata: Metadata = attrs.field(factory=Metadata)
    #: The frames are views of one scene, as of a stereo pair: none is before another.
    views: bool = False
    #: A JPEG that tells how much brighter each place is on HDR screens.
    gain: bytes | None = attrs.field(default=None, repr=False)
    #: How often an animation plays: 0 is for ever, None is not stated.
    loop: int | None = None
    style: dict[str, Any] = attrs.field(factory=dict)
    #: What the result lacks of the original, a sentence each for its owner. Decoders and encoders add to it.
    notices: list[str] = attrs.field(factory=list)

"""The nouns: a file's metadata, and what filters did to its picture."""

from __future__ import annotations

from typing import Any

import attrs

from dpip.filters.metadata.spaces import Space
from dpip.filters.schema import Area


@attrs.frozen
class Metadata:
    """What a file says besides its pixels.

    ``exif`` is a TIFF structure (from "II" or "MM" on), ``icc`` a profile, ``xmp`` an XML packet and
    ``extended_xmp`` the second one that a JPEG may have, ``photoshop`` the image resources (IPTC is one of
    them), ``dpi`` the resolution, ``aspect`` pixels per unit across and down where only their ratio counts.
    ``space`` says what colours mean that have no profile; None is sRGB. ``extra`` has parts that only the
    original's own format knows, as (kind, bytes).
    """

    exif: bytes | None = None
    icc: bytes | None = None
    xmp: bytes | None = None
    dpi: tuple[float, float] | None = None
    extra: tuple[tuple[Any, bytes], ...] = ()
    extended_xmp: bytes | None = None
    photoshop: bytes | None = None
    aspect: tuple[float, float] | None = None
    space: Space | None = None


@attrs.frozen
class Change:
    """What became of the place of the pixels, from the file to the result; sizes are width and height.

    ``turn`` is the orientation by which the decoder turned the picture upright, and ``before`` its size
    after that. ``maps`` tells whether what was measured for each place, such as depth, is true as it is.
    """

    before: tuple[int, int]
    after: tuple[int, int]
    area: Area = "same"
    turn: int = 1
    maps: bool = True

    @property
    def elsewhere(self) -> bool:
        """Tell whether places in the original mean nothing in the result."""
        return self.area in ("cut", "turned", "moved") or (self.area == "same" and self.before != self.after)

    @property
    def ratios(self) -> tuple[float, float]:
        return self.after[0] / self.before[0], self.after[1] / self.before[1]

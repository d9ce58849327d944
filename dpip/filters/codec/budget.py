"""What a decoder may decode: as much as the file's header said, and no more.

Limits and memory go by the header, which is read without a decoder. A decoder may understand the file
otherwise: by a second IHDR, a frame that hides in an extension, a tag that is given twice. Then it must not
decode more than was reckoned. A decoder calls ``check_count`` once, and ``take_frame`` before each frame.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import attrs

from dpip.errors import CorruptPicture
from dpip.filters.codec.headers import PictureInfo
from dpip.filters.codec.picture import Frame


@attrs.define
class DecodeBudget:
    """``pixels`` that are left, each of ``pixel_bytes`` at most, in ``frames`` that are left."""

    pixels: int
    frames: int
    pixel_bytes: int

    @classmethod
    def of(cls, info: PictureInfo) -> DecodeBudget:
        """For the picture of this header. A PNG may have a picture that is none of the frames it counts."""
        more = int(info.format == "PNG" and info.frames > 1)
        return cls(info.pixels + more * info.width * info.height, info.frames + more, info.pixel_bytes)

    def check_count(self, frames: int) -> None:
        """Raises CorruptPicture when the decoder has found more frames than the header tells of."""
        if frames > self.frames:
            raise CorruptPicture("The picture is damaged: it has more frames than can be counted.")

    def take_frame(self, width: int, height: int, pixel_bytes: int) -> None:
        """Take what a frame needs, before it is decoded. Raises CorruptPicture if that is not left."""
        self.pixels -= width * height
        self.frames -= 1
        self._check(self.pixels >= 0 <= self.frames and pixel_bytes <= self.pixel_bytes)

    def checked(self, frames: Iterable[Frame]) -> Iterator[Frame]:
        """Yield the frames. Raises CorruptPicture for one that has larger pixels than the header says."""
        for frame in frames:
            height, width = frame.pixels.shape[:2]
            self._check(frame.pixels.nbytes <= height * width * self.pixel_bytes)
            yield frame

    def _check(self, is_within: bool) -> None:
        if not is_within:
            raise CorruptPicture(
                "The picture is damaged: its parts disagree, and hold more than its header says."
            )

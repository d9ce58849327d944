"""What a decoder may decode: as much as the file's header said, and no more.

Limits and memory go by the header, which is read without a decoder. A decoder may understand the file
otherwise: by a second IHDR, a frame that hides in an extension, a tag that is given twice. Then it must not
decode more than was reckoned.
"""

from __future__ import annotations

import attrs

from dpip.errors import CorruptPicture
from dpip.filters.codec.headers import PictureInfo


@attrs.define
class DecodeBudget:
    """``pixels`` that are left, in ``frames`` that are left."""

    pixels: int
    frames: int

    @classmethod
    def of(cls, info: PictureInfo) -> DecodeBudget:
        """For the picture of this header. A PNG may have a picture that is none of the frames it counts."""
        more = int(info.format == "PNG" and info.frames > 1)
        return cls(info.pixels + more * info.width * info.height, info.frames + more)

    def check_count(self, frames: int) -> None:
        """Raises CorruptPicture when the decoder has found more frames than the header tells of."""
        if frames > self.frames:
            raise CorruptPicture("The picture is damaged: it has more frames than can be counted.")

    def take_frame(self, width: int, height: int) -> None:
        """To be called before a frame is decoded. Raises CorruptPicture when it is more than is left."""
        self.pixels -= width * height
        self.frames -= 1
        if self.pixels < 0 or self.frames < 0:
            raise CorruptPicture(
                "The picture is damaged: its parts disagree, and hold more than its header says."
            )

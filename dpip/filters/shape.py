"""The size of a picture as an array, without the array: what memory is reckoned by."""

from __future__ import annotations

import attrs

from dpip.errors import PictureTooLarge

#: Pictures that are larger, over all frames, are refused before they are decoded, and results before they are
#: computed, where nothing else is said.
MAX_PIXELS = 100_000_000


@attrs.frozen
class Shape:
    """``sample_bytes`` is 1 for 8 bits per channel, 2 for 16, 4 and 8 for floating point."""

    width: int
    height: int
    channels: int = 3
    sample_bytes: int = 1

    @property
    def pixels(self) -> int:
        return self.width * self.height

    @property
    def samples(self) -> int:
        return self.pixels * self.channels

    @property
    def colour_samples(self) -> int:
        """All samples but those of alpha."""
        return self.pixels * (self.channels - self.has_alpha)

    @property
    def bytes(self) -> int:
        return self.samples * self.sample_bytes

    @property
    def has_alpha(self) -> bool:
        """As :func:`dpip.filters.alpha.has_alpha` says it of the array."""
        return self.channels in (2, 4)

    @property
    def is_float(self) -> bool:
        return self.sample_bytes > 2

    @property
    def gray(self) -> Shape:
        """The luma, with alpha where there is one."""
        return attrs.evolve(self, channels=2 if self.has_alpha else 1)

    def check_growth(self, result: Shape, max_pixels: int) -> None:
        """Raise PictureTooLarge for a result that is larger than a picture and the limit."""
        if result.pixels > max(max_pixels, self.pixels):
            raise PictureTooLarge(
                f"The result would have {result.width} x {result.height} pixels; the limit is {max_pixels:,}."
            )

    @property
    def turned(self) -> Shape:
        """Turned by 90 degrees, as the metadata of a file may ask for."""
        return attrs.evolve(self, width=self.height, height=self.width)

"""What a CUDA twin of a filter is: a function that gives the same bytes, and pictures to test it with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
import numpy as np

from dpip.filters.schema import Pixels


@attrs.frozen
class Trial:
    """A kind of picture, and the parameters that the filter is tried with."""

    channels: int
    dtype: str
    params: Mapping[str, Any] = attrs.field(factory=dict)

    def picture(self, height: int, width: int) -> Pixels:
        """Return samples, alpha too, from the whole range without a pattern, the same on every machine."""
        shape = (height, width, self.channels)
        # The steps of a multiplicative hash (Knuth, TAOCP 6.4): its upper bits look random.
        scattered = np.arange(height * width * self.channels, dtype=np.uint32) * np.uint32(2654435761)
        bits = 8 * np.dtype(self.dtype).itemsize
        return (scattered >> np.uint32(32 - bits)).astype(self.dtype).reshape(shape)


@attrs.frozen(kw_only=True)
class Twin:
    """``function(array, **parameters)`` is the filter's own on the GPU, byte for byte.

    It takes no ``threads``, and may raise whatever CUDA raises. ``trials`` has, for each ``kind`` of picture,
    those that are compared with the CPU; the first is also timed, as the time grows with the bytes.
    """

    function: Callable[..., Pixels]
    trials: Mapping[str, tuple[Trial, ...]]
    kind: Callable[[Pixels], str]

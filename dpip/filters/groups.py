"""Pictures with more channels than colour and alpha: each further one is filtered as if it were alone.

``groups`` says how many channels belong together: (3, 1) is RGB and a band of its own, (1, 1, 1) three bands.
Filters see each group as a picture, so their alpha and colours mean what they always mean.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from dpip.errors import UnsupportedPicture
from dpip.filters.alpha import channel_count
from dpip.filters.schema import Pixels

Groups = tuple[int, ...]


def of(array: Pixels, groups: Groups) -> Groups:
    """Return the groups of the array: all channels are one if ``groups`` is empty."""
    return groups or (channel_count(array),)


def each(function: Callable[[Pixels], Pixels], array: Pixels, groups: Groups) -> tuple[Pixels, Groups]:
    """Apply the function to each group; returns the array of all results, and its groups.

    Raises UnsupportedPicture for a function that makes colours of a band that has none.
    """
    if len(groups) <= 1:
        return function(array), ()
    first, *bands = (function(part) for part in split(array, groups))
    if any(band.ndim != 2 for band in bands):
        raise UnsupportedPicture(
            f"The picture has {len(bands)} bands besides its colours; the filter would make colours of them."
        )
    result = joined([first, *bands])
    return result, (result.shape[2] - len(bands), *groups[1:])


def joined(parts: list[Pixels]) -> Pixels:
    """Undo :func:`split`."""
    if len(parts) == 1:
        return parts[0]
    return np.concatenate([part[..., None] if part.ndim == 2 else part for part in parts], axis=2)


def split(array: Pixels, groups: Groups) -> list[Pixels]:
    """Return a picture for each group; one channel is H x W."""
    if len(groups) <= 1:
        return [array]
    ends = np.cumsum(groups)[:-1]
    parts = np.split(array, ends, axis=2)
    return [np.ascontiguousarray(part[..., 0] if part.shape[2] == 1 else part) for part in parts]

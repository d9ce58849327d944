"""Finding what has changed between two pictures of an animation: the rest need not be stored again."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from dpip.filters.codec.picture import Pixels


def changed(pixels: Pixels, before: Pixels) -> npt.NDArray[np.bool_]:
    """Compare two pictures of one shape; the result, H x W, is true where any channel differs."""
    differs: npt.NDArray[np.bool_] = pixels != before
    return differs if differs.ndim == 2 else np.asarray(differs.any(axis=2))


def box(changed: npt.NDArray[np.bool_], multiple: int = 1) -> tuple[slice, slice]:
    """Return the rows and columns that hold all changes, at least one of each, as no frame is empty.

    They begin at a multiple of ``multiple``.
    """
    return _span(changed, multiple), _span(changed.T, multiple)


def _span(changed: npt.NDArray[np.bool_], multiple: int) -> slice:
    places = np.flatnonzero(changed.any(axis=1))
    first, last = (int(places[0]), int(places[-1])) if places.size else (0, 0)
    return slice(first // multiple * multiple, last + 1)

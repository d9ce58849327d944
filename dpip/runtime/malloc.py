"""How this process deals with memory that it has freed."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Sequence

# glibc's malloc.h
_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3
_KEPT = 256 << 20
#: 40 megapixels. glibc before 2.33 takes no more than the second.
_LARGEST_ON_HEAP = (128 << 20, 32 << 20)


def keep_freed_memory(kept: int = _KEPT, largest: Sequence[int] = _LARGEST_ON_HEAP) -> None:
    """Let one picture's memory serve the next one, up to ``kept`` bytes, instead of going back to the system
    each time. ``largest`` is how much in one piece; of several, the first that glibc takes.

    Pixels come in megabytes, which glibc would map afresh, page fault by page fault, for every array: on a
    virtual machine that takes a third of the time of a blur. Elsewhere than on Linux with glibc this does
    nothing.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        any(mallopt(_M_MMAP_THRESHOLD, size) for size in largest)
        mallopt(_M_TRIM_THRESHOLD, kept)

"""Makes glibc keep the memory that this process has freed."""

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
    """Keep up to ``kept`` bytes of freed memory for the next picture instead of returning them to the system.

    ``largest`` is the size of one piece; of several, the first that glibc accepts. Without this glibc maps
    memory anew for every array of pixels, which takes a third of the time of a blur on a virtual machine. It
    has no effect elsewhere than on Linux with glibc.
    """
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        any(mallopt(_M_MMAP_THRESHOLD, size) for size in largest)
        mallopt(_M_TRIM_THRESHOLD, kept)

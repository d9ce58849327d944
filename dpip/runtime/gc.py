"""The memory of a process that serves for days and moves pictures in pieces."""

from __future__ import annotations

import gc

from dpip.runtime.malloc import keep_freed_memory
from dpip.runtime.transports import PIECE

_KEPT = 32 * PIECE
_YOUNG_OBJECTS = 5_000


def tune_gc() -> None:
    """What has been loaded stays: the garbage collector need not go through it again and again, nor look for
    new cycles every 700 objects, which is twice a request. And the memory of one piece of a picture serves
    the next: glibc would map and unmap each, which takes longer than filling it."""
    keep_freed_memory(_KEPT, (2 * PIECE,))
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)

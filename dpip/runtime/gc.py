"""The memory of a process that serves for days and moves pictures in pieces."""

from __future__ import annotations

import gc

from dpip.runtime.malloc import keep_freed_memory
from dpip.runtime.transports import PIECE

_KEPT = 32 * PIECE
_YOUNG_OBJECTS = 5_000


def tune_gc() -> None:
    """Exempt what has been loaded from garbage collection, and collect every 5,000 objects instead of every
    700, which is twice a request. Keep the memory of one piece of a picture for the next: glibc would map and
    unmap each, which takes longer than filling it."""
    keep_freed_memory(_KEPT, (2 * PIECE,))
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG_OBJECTS, 10, 10)

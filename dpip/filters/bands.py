"""One large picture on several cores: each band of its rows runs the same sequential kernel.

The kernels release the GIL, so plain threads are enough. Numba's parallel loops would need a threading layer
(which aborts the process when two jobs meet, does not survive a fork, or wants a library of its own) and a
second compilation of every kernel. Here the result cannot depend on the number of threads.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from threading import Lock

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has the pools but not their threads
#: Handing over a shorter band costs more than it saves.
_FEWEST_ROWS = 16
#: With several bands a thread that wakes up late does fewer, and all end nearly together.
_BANDS_PER_THREAD = 8


def over_rows(rows: int, threads: int, work: Callable[[int, int], object]) -> None:
    """Call ``work(first, last)`` for bands that together cover ``range(rows)``; return when all are done.

    The calling thread takes part: it begins at once, while the others take 0.1 to 0.2 ms to wake up.
    """
    count = min(threads, rows // _FEWEST_ROWS)
    if count <= 1:
        work(0, rows)
        return
    number = min(rows // _FEWEST_ROWS, count * _BANDS_PER_THREAD)
    bands = deque(pairwise(rows * band // number for band in range(number + 1)))

    def share() -> None:
        while True:
            try:
                band = bands.popleft()
            except IndexError:
                return
            work(*band)

    helpers = [_pool(threads - 1).submit(share) for _ in range(count - 1)]
    try:
        share()
    finally:
        begun = [helper for helper in helpers if not helper.cancel()]
        for helper in begun:
            helper.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, "dpip-band")
        return _pools[threads]

"""One large picture on several cores: each band of its rows runs the same sequential kernel.

The kernels give up the GIL, so plain threads do. Against Numba's parallel loops this needs no threading layer
(which aborts the process when two jobs meet, does not survive a fork or wants a library of its own), no
second compilation of every kernel, and the result cannot depend on the number of threads.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import pairwise
from threading import Lock

_pools: dict[int, ThreadPoolExecutor] = {}
_lock = Lock()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pools.clear)  # a child has the pools but not their threads
#: A band shorter than this costs more to hand over (about 30 µs) than it saves.
_FEWEST_ROWS = 16


def over_rows(rows: int, threads: int, work: Callable[[int, int], object]) -> None:
    """Call ``work(first, last)`` for bands that together cover ``range(rows)``; returns when all are done."""
    count = min(threads, rows // _FEWEST_ROWS)
    if count <= 1:
        work(0, rows)
        return
    # Twice as many bands as threads: the last one to finish is then late by half a band at most.
    edges = [rows * band // (2 * count) for band in range(2 * count + 1)]
    tasks = [_pool(threads).submit(work, *span) for span in pairwise(edges)]
    wait(tasks)
    for task in tasks:
        task.result()


def _pool(threads: int) -> ThreadPoolExecutor:
    with _lock:
        if threads not in _pools:
            _pools[threads] = ThreadPoolExecutor(threads, "dpip-band")
        return _pools[threads]

"""What the drivers of task queues share: they read turns from standard input and answer with seconds.

A turn is ``WAY FORMAT FILTER COUNT``. ``frames(format)`` are files; results go to ``out/`` beside them.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from itertools import cycle, islice
from pathlib import Path

Turn = Callable[[Sequence[str], str], object]


def serve(directory: Path, ways: dict[str, Turn]) -> None:
    """Until the input ends. A way is called with the paths of the frames and the filter, and once before."""
    print("ready", flush=True)
    for line in sys.stdin:
        way, format, filter, count = line.split()
        frames = sorted(str(path) for path in (directory / format).iterdir())
        ways[way](frames[:8], filter)
        wanted = list(islice(cycle(frames), int(count)))
        start = time.perf_counter()
        ways[way](wanted, filter)
        print(time.perf_counter() - start, flush=True)

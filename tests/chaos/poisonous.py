"""A third-party filter, installed for tests alone, that does to its process what the picture says.

The first pixel's red value is the picture's character; any other picture than these is left as it is.
"""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any, Final

import numpy as np
from PIL import Image

from dpip.filters.registry import Filter

CRASHES, LOOPS, EATS, SLEEPS = 1, 2, 3, 4
SECONDS: Final = "DPIP_TEST_SLEEP"
"""In the environment of a worker: how long its pictures sleep."""
_PIECE: Final = 256 << 20


def poison(array: np.ndarray) -> np.ndarray:
    character = int(array[0, 0, 0])
    if character == CRASHES:
        ctypes.string_at(0)
    while character == LOOPS:
        continue
    eaten: list[Any] = []
    while character == EATS:
        eaten.append(np.empty(_PIECE, np.uint8))  # counted against the limit, though never touched
    if character == SLEEPS:
        time.sleep(float(os.environ.get(SECONDS, "0")))
    return array


FILTER = Filter(name="poison", summary="Does what the picture says.", function=poison)


def picture(character: int, width: int = 64, height: int = 48) -> bytes:
    """A PNG of that character."""
    from io import BytesIO

    file = BytesIO()
    Image.new("RGB", (width, height), (character, 200, 200)).save(file, "PNG")
    return file.getvalue()


def install(directory: Path) -> str:
    """As pip would: what goes into ``PYTHONPATH`` of the processes that shall have the filter."""
    info = directory / "dpip_poison-1.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: dpip-poison\nVersion: 1\n")
    (info / "entry_points.txt").write_text(f"[dpip.filters]\npoison = {__name__}:FILTER\n")
    return os.pathsep.join([str(directory), os.environ.get("PYTHONPATH", "")])

"""Warming up: all that makes a process ready for its first job."""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from importlib import import_module


def warm_up(say: Callable[[str], object]) -> None:
    """Load every kernel from the disk cache (under a second), or compile it (once per machine and version).

    ``say`` is called with a sentence when that takes long, and when the cache is in an unusual place.
    """
    from dpip.filters import kernels
    from dpip.filters.kernels import compile

    _, moved = compile.cache_directory()
    if moved:
        say(moved)
    if not compile.is_warm():
        say("Compiling the filters for this machine. This happens once and takes up to a minute.")
    for module in pkgutil.iter_modules(kernels.__path__):
        import_module(f"{kernels.__name__}.{module.name}")
    _load_codecs()


def _load_codecs() -> None:
    import numpy as np

    from dpip.filters.codec import encode
    from dpip.filters.codec.picture import Frame, Picture
    from dpip.filters.engine import process
    from dpip.filters.registry import validate_output

    small = Frame(np.zeros((8, 8, 3), np.uint8))
    for format in ("JPEG", "PNG"):
        data, _ = encode(Picture(format, (small,)), (small,), validate_output({}))
        process(data, "grayscale")

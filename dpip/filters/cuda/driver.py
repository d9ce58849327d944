"""Whether there is a GPU to ask, found out without importing anything of CUDA."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def present() -> bool:
    """Whether the driver is installed and shows a GPU; ``CUDA_VISIBLE_DEVICES=`` (nothing) hides them."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return False  # Numba would simulate one, a million times as slow
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def installed() -> bool:
    """Whether numba-cuda is; Numba's own remains of CUDA do not count."""
    return find_spec("numba_cuda") is not None

"""Finding out whether there is a GPU, without importing anything of CUDA."""

from __future__ import annotations

import ctypes
import os
import sys
from importlib.util import find_spec

_LIBRARY = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"


def present() -> bool:
    """Tell whether the driver is installed and shows a GPU; ``CUDA_VISIBLE_DEVICES=`` (empty) hides all."""
    if os.environ.get("NUMBA_ENABLE_CUDASIM", "0") not in ("", "0"):
        return False  # Numba would simulate a GPU, a million times slower
    try:
        driver = ctypes.CDLL(_LIBRARY)
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0


def installed() -> bool:
    """Tell whether numba-cuda is installed; what is left of CUDA in Numba itself does not count."""
    return find_spec("numba_cuda") is not None

"""What not every platform has; each call does without where it must."""

from __future__ import annotations

import os


def advise_sequential_read(descriptor: int) -> None:
    """Tell the system that the whole file will be read from its beginning. macOS takes no such advice."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)

"""What not every platform has; each call does without where it must."""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path


def advise_sequential_read(descriptor: int) -> None:
    """Tell the system that the whole file will be read from its beginning. macOS takes no such advice."""
    if hasattr(os, "posix_fadvise"):
        os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)


def sync(descriptor: int) -> None:
    """Make a file's bytes, or a directory's names, durable. Raises OSError.

    macOS leaves what ``fsync`` writes in the drive's cache, and has F_FULLFSYNC to empty that.
    """
    full = getattr(fcntl, "F_FULLFSYNC", None)
    if full is not None:
        with suppress(OSError):  # not every file system has it; where the disk fails, fsync does, too
            fcntl.fcntl(descriptor, full)
            return
    os.fsync(descriptor)


def sync_folder(folder: str | Path) -> None:
    """Make the names in the folder durable. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        sync(descriptor)
    finally:
        os.close(descriptor)

"""Temporary directories that belong to a process for as long as it lives.

Each is locked by its process; systemd's cleaning of temporary directories respects the lock, too. However the
process dies, the lock goes with it, and the next process that starts here removes the directory.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

_BIRTH_SECONDS: Final = 60.0
"""A new directory that is not locked after so long was left by a process that died while making it."""


class LockedTempDir:
    """A directory ``parent/prefix…``, once :meth:`open` has made it."""

    def __init__(self, parent: Path, prefix: str) -> None:
        self._parent = parent
        self._prefix = prefix
        self._path: Path | None = None
        self._lock: int | None = None

    @property
    def path(self) -> Path:
        assert self._path is not None, "not open"
        return self._path

    def open(self) -> Path:
        """Make the directory, and remove those of dead processes. Raises OSError."""
        self._parent.mkdir(parents=True, exist_ok=True)
        for left in self._parent.glob(f"{self._prefix}*"):
            _remove_if_dead(left)
        for unborn in self._parent.glob(f".{self._prefix}*"):
            _remove_if_dead(unborn, _BIRTH_SECONDS)
        # Locked before it has the name by which another process that starts now would find and remove it.
        new = Path(tempfile.mkdtemp(prefix=f".{self._prefix}", dir=self._parent))
        self._lock = _locked(new)
        self._path = new.rename(new.with_name(new.name.removeprefix(".")))
        return self._path

    def close(self) -> None:
        """Remove the directory with everything in it."""
        if self._path is not None:
            shutil.rmtree(self._path, ignore_errors=True)
            self._path = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


def _locked(directory: Path) -> int | None:
    """Return a descriptor that holds the directory's lock; None when another process does, or none can."""
    try:
        descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def _remove_if_dead(directory: Path, age: float = 0.0) -> None:
    """Remove a directory without a lock if it is at least ``age`` seconds old."""
    try:
        status = directory.lstat()
    except FileNotFoundError:
        return  # another process that starts now was faster
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return  # in a shared temporary directory anybody may plant such a name
    if time.time() - status.st_mtime < age:
        return
    descriptor = _locked(directory)
    if descriptor is not None:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)

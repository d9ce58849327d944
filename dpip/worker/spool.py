"""The worker's temporary directory: originals on their way in, results on their way out.

Each worker process has its own, locked for as long as the process lives (systemd's cleaning of temporary
directories respects that lock, too); at the start those that nobody locks any more are removed. A disk is
never filled to the brim.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import stat
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Final

PREFIX: Final = "dpip-spool-"
FLOOR: Final = 256 * 2**20
"""Bytes left free for others; a tenth of a disk that is smaller than ten times that."""


class Spool:
    """Files for jobs under ``parent``; ``floor`` bytes of the disk are never used. ``disk_usage(path)`` is as
    :func:`shutil.disk_usage`."""

    def __init__(
        self,
        parent: Path,
        floor: int = FLOOR,
        disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    ) -> None:
        self._parent = parent
        self._floor = floor
        self._disk_usage = disk_usage
        self._directory: Path | None = None
        self._lock: int | None = None
        self._pairs = 0

    @property
    def directory(self) -> Path:
        assert self._directory is not None, "not open"
        return self._directory

    def open(self) -> None:
        """Make the directory, and remove what dead workers have left."""
        self._parent.mkdir(parents=True, exist_ok=True)
        for left in self._parent.glob(f"{PREFIX}*"):
            _remove_if_dead(left)
        # Locked before it has the name by which another worker that starts now would find and remove it.
        new = Path(tempfile.mkdtemp(prefix=f".{PREFIX}", dir=self._parent))
        self._lock = _locked(new)
        self._directory = new.rename(new.with_name(new.name.removeprefix(".")))

    def close(self) -> None:
        """Remove the directory with everything in it."""
        if self._directory is not None:
            shutil.rmtree(self._directory, ignore_errors=True)
            self._directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def pair(self) -> tuple[Path, Path]:
        """Where one job's original and its result go: names that were never used before."""
        self.directory.mkdir(mode=0o700, exist_ok=True)  # in case somebody has tidied up
        self._pairs += 1
        return self.directory / f"{self._pairs}.in", self.directory / f"{self._pairs}.out"

    def free(self) -> int:
        """Bytes of the disk that nobody uses."""
        return self._disk_usage(self._parent)[2]

    def has_room_for(self, size: int) -> bool:
        total, _, free = self._disk_usage(self._parent)
        return free - size >= min(self._floor, total // 10)


def _locked(directory: Path) -> int | None:
    """A descriptor that holds the directory's lock; None when another process does, or nobody can."""
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


def _remove_if_dead(directory: Path) -> None:
    status = directory.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid():
        return  # in a shared temporary directory anybody may plant such a name
    descriptor = _locked(directory)
    if descriptor is not None:
        shutil.rmtree(directory, ignore_errors=True)
        os.close(descriptor)

"""The worker's temporary directory: originals on their way in, results on their way out.

Each worker process has its own (see :mod:`dpip.runtime.tempdirs`). A disk is never filled to the brim.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dpip.runtime.tempdirs import LockedTempDir

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
        self._scratch = LockedTempDir(parent, PREFIX)
        self._pairs = 0

    @property
    def directory(self) -> Path:
        return self._scratch.path

    def open(self) -> None:
        """Make the directory, and remove what dead workers have left."""
        self._scratch.open()

    def close(self) -> None:
        """Remove the directory with everything in it."""
        self._scratch.close()

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

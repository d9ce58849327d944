"""The worker's temporary directory for originals and results that go over HTTP.

Each worker process has its own (see :mod:`dpip.runtime.tempdirs`). A part of the disk is always left free.
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


class Spool(LockedTempDir):
    """A directory for jobs' files under ``parent``; ``floor`` bytes of the disk are never used.
    ``disk_usage(path)`` is as :func:`shutil.disk_usage`."""

    def __init__(
        self,
        parent: Path,
        floor: int = FLOOR,
        disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
    ) -> None:
        super().__init__(parent, PREFIX)
        self._floor = floor
        self._disk_usage = disk_usage
        self._pairs = 0

    def pair(self) -> tuple[Path, Path]:
        """Return new paths for one job's original and its result."""
        self.path.mkdir(mode=0o700, exist_ok=True)  # in case it has been removed as an old temporary file
        self._pairs += 1
        return self.path / f"{self._pairs}.in", self.path / f"{self._pairs}.out"

    def free(self) -> int:
        """Return the free bytes of the disk."""
        return self._disk_usage(self._parent)[2]

    def has_room_for(self, size: int) -> bool:
        """Say whether so many bytes may be written."""
        total, _, free = self._disk_usage(self._parent)
        return free - size >= min(self._floor, total // 10)

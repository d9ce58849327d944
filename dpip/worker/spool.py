"""The worker's temporary directories for originals and results that go over HTTP.

Each worker process has its own (see :mod:`dpip.runtime.tempdirs`): one on a disk, and if there is room one in
memory, for small pictures. A part of the disk, and of the memory, is always left free.
"""

from __future__ import annotations

import math
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final

from dpip.runtime.tempdirs import LockedTempDir

PREFIX: Final = "dpip-spool-"
FLOOR: Final = 256 * 2**20
"""Bytes left free for others; a tenth of a disk that is smaller than ten times that."""
MEMORY: Final = Path("/dev/shm")  # noqa: S108  # nosec B108: random names, ours alone
_SMALL: Final = 512 * 1024
"""Bytes of the largest original that is kept in memory."""
_ROOM: Final = 3
"""Times the original's size that must be free: for it, and for a result that compresses worse."""
_FRESH_SECONDS: Final = 1.0
"""For so long what was measured is believed, less what was given since: asking takes system calls."""


def memory_directory() -> Path | None:
    """Return where files are in memory, or None: not every system has such a directory."""
    return MEMORY if os.access(MEMORY, os.W_OK | os.X_OK) else None


class Spool(LockedTempDir):
    """A directory for jobs' files under ``parent``; ``floor`` bytes of the disk are never used.

    ``memory`` is a directory whose files are in memory. ``disk_usage(path)`` is as
    :func:`shutil.disk_usage`.
    """

    def __init__(
        self,
        parent: Path,
        floor: int = FLOOR,
        disk_usage: Callable[[Path], tuple[int, int, int]] = shutil.disk_usage,
        memory: Path | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(parent, PREFIX)
        self._floor = floor
        self._disk_usage = disk_usage
        self._monotonic = monotonic
        self._pairs = 0
        self._looked_at = -math.inf
        self._room = 0
        self._memory = None if memory is None else Spool(memory, floor, disk_usage, monotonic=monotonic)

    def open(self) -> Path:
        """Make the directories. Raises OSError."""
        if self._memory is not None:
            try:
                self._memory.open()
            except OSError:  # it is used for speed alone
                self._memory = None
        return super().open()

    def close(self) -> None:
        """Remove the directories with everything in them."""
        if self._memory is not None:
            self._memory.close()
        super().close()

    def pair(self, size: int = 0) -> tuple[Path, Path] | None:
        """Return new paths for one job's original of ``size`` bytes and its result; None without room."""
        spool = self._place_for(size)
        if spool is None:
            return None
        spool._pairs += 1
        return spool.path / f"{spool._pairs}.in", spool.path / f"{spool._pairs}.out"

    def _place_for(self, size: int) -> Spool | None:
        if self._memory is not None and size <= _SMALL and self._memory.take_room(_ROOM * size):
            return self._memory
        return self if self.take_room(_ROOM * size) else None

    def free(self) -> int:
        """Return the free bytes of the disk."""
        return self._disk_usage(self._parent)[2]

    def take_room(self, size: int) -> bool:
        """Say whether so many bytes may be written."""
        now = self._monotonic()
        if not 0 <= now - self._looked_at < _FRESH_SECONDS:
            self._look(now)
        fits = size <= self._room
        self._room -= size if fits else 0
        return fits

    def _look(self, now: float) -> None:
        self.path.mkdir(mode=0o700, exist_ok=True)  # in case it has been removed as an old temporary file
        total, _, free = self._disk_usage(self._parent)
        self._room = free - min(self._floor, total // 10)
        self._looked_at = now

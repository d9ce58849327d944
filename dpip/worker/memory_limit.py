"""The memory that a compute child may have: as much as was reckoned for its job, by the kernel's account."""

from __future__ import annotations

import ctypes
import resource
import sys
from contextlib import suppress
from typing import Any, Final

import psutil

_SLACK: Final = 64 * 2**20
_SHARE: Final = 4
"""A quarter more than was reckoned: what a library asks for and never touches counts, too."""
_STACK: Final = 9 * 2**20
"""Of each thread that works on one picture."""


class MemoryLimit:
    """Allows a number of bytes more than are in use when it is made, and never more than ``most``.

    RLIMIT_DATA counts what is really allocated; RLIMIT_AS would count the gigabytes of addresses that LLVM
    and thread stacks reserve and never touch.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._process = psutil.Process()
        self._idle = self._in_use()
        self._set(self._idle + most)

    def allow(self, needed: int, threads: int) -> None:
        """Allow what one job needs. What is kept of earlier jobs goes back to the system if it is more."""
        if self._in_use() - self._idle > needed:
            _trim()
        room = min(self._most, needed + needed // _SHARE + _SLACK + threads * _STACK)
        self._set(max(self._idle + room, self._in_use() + _SLACK))

    def _in_use(self) -> int:
        return int(getattr(self._process.memory_info(), "data", 0))

    def _set(self, limit: int) -> None:
        with suppress(OSError, ValueError):  # not every kernel has it
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (limit, hard))


def _trim() -> None:
    """Return freed memory to the system, where the C library can."""
    library: Any = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    trim = getattr(library, "malloc_trim", None)
    if trim is not None:
        trim(0)

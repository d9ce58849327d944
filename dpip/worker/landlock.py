"""Landlock: which files this process may still open, and that it reaches no TCP port and signals nobody else.

It restricts the calling thread and the threads that it starts from then on; Linux 7.0 restricts all.
Source: ``Documentation/userspace-api/landlock.rst`` and ``linux/landlock.h``.
"""

from __future__ import annotations

import ctypes
import os
import stat
import struct
from collections.abc import Iterable
from contextlib import suppress
from typing import Final

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446  # the same on every architecture
_GET_VERSION: Final = 1
_BENEATH: Final = 1
_ALL_THREADS: Final = 8

_WRITE_FILE, _READ_FILE, _READ_FOLDER = 1 << 1, 1 << 2, 1 << 3
_TRUNCATE, _CONTROL_DEVICE = 1 << 14, 1 << 15
_READ: Final = _READ_FILE | _READ_FOLDER
_USE_DEVICE: Final = _READ_FILE | _WRITE_FILE | _TRUNCATE | _CONTROL_DEVICE | _READ_FOLDER
_FILE_RIGHTS: Final = 1 | _READ_FILE | _WRITE_FILE | _TRUNCATE | _CONTROL_DEVICE
_RIGHTS: Final = {1: (1 << 13) - 1, 2: 1 << 13, 3: _TRUNCATE, 5: _CONTROL_DEVICE}
"""What each version has added of rights to files; the first includes executing them."""
_TCP: Final = 0b11  # bind, connect
_OTHER_PROCESSES: Final = 0b11  # abstract Unix sockets, signals
_TCP_VERSION, _SCOPE_VERSION, _ALL_THREADS_VERSION = 4, 6, 8


def version(libc: ctypes.CDLL) -> int:
    """Return the version of Landlock that the kernel has, below 1 where it has none."""
    return int(libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _GET_VERSION))


def apply(libc: ctypes.CDLL, readable: Iterable[str], devices: Iterable[str]) -> bool:
    """Refuse to open any file but to read what is ``readable``, and to use ``devices``.

    Returns False where the kernel has no Landlock. What is open remains usable. ``no_new_privs`` must be set.
    """
    has = version(libc)
    if has < 1:
        return False
    rights = sum(added for since, added in _RIGHTS.items() if since <= has)
    ruleset = _new_ruleset(libc, has, rights)
    if ruleset < 0:
        return False
    for path in readable:
        _allow(libc, ruleset, path, _READ & rights)
    for path in devices:
        _allow(libc, ruleset, path, _USE_DEVICE & rights)
    flags = _ALL_THREADS if has >= _ALL_THREADS_VERSION else 0
    applied: int = libc.syscall(_RESTRICT_SELF, ruleset, flags)
    os.close(ruleset)
    return applied == 0


def holds_for_all_threads(libc: ctypes.CDLL) -> bool:
    """Say whether :func:`apply`, called now, restricts the whole process."""
    return version(libc) >= _ALL_THREADS_VERSION or len(os.listdir("/proc/self/task")) == 1


def _new_ruleset(libc: ctypes.CDLL, has: int, rights: int) -> int:
    handled = struct.pack("=Q", rights)
    if has >= _TCP_VERSION:
        handled += struct.pack("=Q", _TCP)
    if has >= _SCOPE_VERSION:
        handled += struct.pack("=Q", _OTHER_PROCESSES)
    return int(libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0))


def _allow(libc: ctypes.CDLL, ruleset: int, path: str, rights: int) -> None:
    """Add a rule for a file or for all beneath a directory; what is not there needs none.

    Its descriptor stays open. A rule holds for an inode, and /proc and overlays make a new one for a path
    that the kernel had forgotten for want of memory.
    """
    with suppress(OSError):
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= _FILE_RIGHTS
        libc.syscall(_ADD_RULE, ruleset, _BENEATH, struct.pack("=Qi", rights, place), 0)

"""Keeps a warm compute child from reaching a network, starting programs, and signalling other processes.

Pictures may be made to attack decoders, which have had holes. This works on Linux alone, with what its kernel
has of the following. Memory and time are limited elsewhere, see ``child_main`` and ``compute_child``.

* Landlock (ABI 1, 4, 6): no file is executed, no TCP port bound or connected to, no signal sent to others.
* seccomp: no socket is opened but local ones, and no ``io_uring``, which could open them unseen.

Sources: ``Documentation/userspace-api/landlock.rst`` and ``seccomp_filter.rst`` of the Linux kernel.
"""

from __future__ import annotations

import ctypes
import os
import platform
import struct
import sys
from typing import Final

_NO_NEW_PRIVILEGES: Final = 38  # prctl

_CREATE_RULESET, _RESTRICT_SELF = 444, 446  # the same on every architecture
_RULESET_VERSION: Final = 1
_EXECUTE: Final = 1
_BIND_AND_CONNECT: Final = 3
_SIGNALS: Final = 2
_NET_ABI, _SCOPE_ABI = 4, 6

_SECCOMP_FILTER: Final = 1
_ALL_THREADS: Final = 1
_IO_URING_SETUP: Final = 425
_KERNELS: Final = {  # machine: (audit's name of it, system calls seccomp and socket)
    "x86_64": (0xC000003E, 317, 41),
    "aarch64": (0xC00000B7, 277, 198),
}
_X32: Final = 0x40000000  # system calls of x86-64's other convention begin here
_LOCAL: Final = (1, 16)  # AF_UNIX; AF_NETLINK, by which GPU drivers ask the kernel
_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_ALLOWED: Final = 0x7FFF0000
_REFUSED: Final = 0x00050000 | 13  # EACCES
_NUMBER, _ARCHITECTURE, _FIRST_ARGUMENT = 0, 4, 16  # places in seccomp_data


def confine() -> tuple[str, ...]:
    """Confine all threads of this process for good, and return the means that this kernel has for it."""
    if sys.platform != "linux":
        return ()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return ()
    # Landlock first: it holds for threads to come and for this one, which decodes.
    means = {"landlock": _landlock(libc), "seccomp": _seccomp(libc)}
    return tuple(name for name, applied in means.items() if applied)


def _landlock(libc: ctypes.CDLL) -> bool:
    abi = libc.syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), _RULESET_VERSION)
    if abi < 1:
        return False
    handled = struct.pack("=Q", _EXECUTE)
    if abi >= _NET_ABI:
        handled += struct.pack("=Q", _BIND_AND_CONNECT)
    if abi >= _SCOPE_ABI:
        handled += struct.pack("=Q", _SIGNALS)
    ruleset = libc.syscall(_CREATE_RULESET, handled, ctypes.c_size_t(len(handled)), 0)
    if ruleset < 0:
        return False
    applied: int = libc.syscall(_RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)
    return applied == 0


def _seccomp(libc: ctypes.CDLL) -> bool:
    known = _KERNELS.get(platform.machine())
    if known is None:
        return False
    architecture, seccomp, socket = known
    code = _program(architecture, socket)
    program = ctypes.create_string_buffer(code, len(code))
    header = struct.pack("@HP", len(code) // 8, ctypes.addressof(program))
    return bool(libc.syscall(seccomp, _SECCOMP_FILTER, _ALL_THREADS, header) == 0)


def _program(architecture: int, socket: int) -> bytes:
    """Return the program for Berkeley's packet filter. Its jumps are counted from the next instruction."""
    lines: list[tuple[int, str, str, int]] = [
        (_LOAD, "", "", _ARCHITECTURE),
        (_EQUAL, "", "refuse", architecture),
        (_LOAD, "", "", _NUMBER),
        (_AT_LEAST, "refuse", "", _X32),
        (_EQUAL, "refuse", "", _IO_URING_SETUP),
        (_EQUAL, "", "allow", socket),
        (_LOAD, "", "", _FIRST_ARGUMENT),
        *((_EQUAL, "allow", "", family) for family in _LOCAL),
        (_RETURN, "", "", _REFUSED),
        (_RETURN, "", "", _ALLOWED),
    ]
    places = {"": 0, "refuse": len(lines) - 2, "allow": len(lines) - 1}

    def steps(target: str, here: int) -> int:
        return places[target] - here - 1 if target else 0

    return b"".join(
        struct.pack("=HBBI", code, steps(true, here), steps(false, here), value)
        for here, (code, true, false, value) in enumerate(lines)
    )

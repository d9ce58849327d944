"""Keeps a warm compute child from files, networks, programs and other processes.

Pictures may be made to attack decoders, which have had holes. The child gets its two files of each job as
open descriptors. This works on Linux alone, with what its kernel has of the following; memory and time are
limited elsewhere, see ``child_main`` and ``compute_child``.

* Landlock: nothing is opened but to read libraries, and what a machine tells of itself.
* seccomp: no programs, processes, sockets, signals to others or changes of files' attributes. Where Landlock
  is missing, or does not reach threads that libraries have started, no file is opened for writing either.
* The process is not dumpable: others of its user do not attach to it.
"""

from __future__ import annotations

import ctypes
import glob
import json
import os
import site
import socket
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from typing import Final

from attrs import asdict, frozen

from dpip.worker import landlock, seccomp

_NO_NEW_PRIVILEGES, _SET_DUMPABLE = 38, 4  # prctl

_READABLE: Final = (
    *("/usr", "/lib", "/lib32", "/lib64", "/nix/store"),
    *("/etc/ld.so.cache", "/etc/localtime", "/etc/fonts", "/etc/alternatives"),
    # Not all of /proc: it has the command lines of others.
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/uptime", "/proc/version"),
    *("/proc/filesystems", "/proc/sys/vm/overcommit_memory", "/sys/devices/system", "/sys/fs/cgroup"),
    *("/dev/urandom", "/dev/random", "/dev/zero"),
)
_DEVICES: Final = ("/dev/null",)
_GPU_READABLE: Final = ("/proc/driver", "/proc/devices", "/proc/modules", "/sys")
_GPU_DEVICES: Final = "/dev/nvidia*"


@frozen
class Confinement:
    """What confines a process: ``means`` by name, and ``missing``, a sentence for what each leaves open."""

    means: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()


NO_MEANS: Final = (
    "This system has no means to confine filters: a decoder with a hole could read and write what the "
    "worker's user can, reach the network and start programs. Run workers as a user of their own."
)
_NO_LANDLOCK: Final = (
    "The kernel has no Landlock (Linux 5.13 or newer, not left out by lsm=): a decoder with a hole could "
    "read what the worker's user can read."
)
_NOT_ALL_THREADS: Final = (
    "Landlock does not reach threads that libraries have started before (Linux 7.0 does): a decoder with a "
    "hole could use them to read what the worker's user can read{}."
)
_NO_SECCOMP: Final = (
    "The kernel has no seccomp filters for this machine: a decoder with a hole could reach other processes "
    "and change the modes of files."
)


def confine(gpu: bool = False) -> Confinement:
    """Confine all threads of this process for good; with ``gpu`` it may go on to use NVIDIA's devices."""
    if sys.platform != "linux":
        return Confinement(missing=(NO_MEANS,))
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) != 0:
        return Confinement(missing=(NO_MEANS,))
    libc.prctl(_SET_DUMPABLE, 0, 0, 0, 0)
    whole = landlock.holds_for_all_threads(libc)
    readable = _topmost((*_READABLE, *_libraries(), *(_GPU_READABLE if gpu else ())))
    devices = (*_DEVICES, *(glob.glob(_GPU_DEVICES) if gpu else ()))
    files = landlock.apply(libc, readable, devices)
    # A GPU's driver may open its devices anew, for writing; it asks the kernel by a netlink socket.
    families = (socket.AF_NETLINK,) if gpu else ()
    calls = seccomp.apply(libc, families, guard_names=not gpu and not (files and whole))
    return _confinement(files, whole, calls, gpu)


def _confinement(files: bool, whole: bool, calls: bool, gpu: bool) -> Confinement:
    means = {"Landlock": files, "seccomp": calls}
    writing = " and write what it can write" if gpu or not calls else ""
    missing = {
        NO_MEANS: not files and not calls,
        _NO_LANDLOCK: not files and calls,
        _NOT_ALL_THREADS.format(writing): files and not whole,
        _NO_SECCOMP: files and not calls,
    }
    return Confinement(*(tuple(name for name, so in table.items() if so) for table in (means, missing)))


def _libraries() -> Iterator[str]:
    """Yield where Python's modules are: all of the installation, and the packages loaded from elsewhere.

    Not all of ``sys.path``: it may have the directory in which the worker was started.
    """
    yield from (sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix)
    yield from (sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib"))
    yield site.getusersitepackages()
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file and "." not in name:
            is_package = hasattr(module, "__path__")
            yield os.path.dirname(os.path.abspath(file)) if is_package else os.path.abspath(file)


def _topmost(paths: Iterable[str]) -> set[str]:
    """Return the paths without those beneath others; never the root of everything."""
    wanted = set(paths) - {"/"}
    return {path for path in wanted if not any(path.startswith(f"{other}/") for other in wanted)}


if __name__ == "__main__":  # what ``dpip doctor`` runs, since this holds for good
    sys.stdout.write(json.dumps(asdict(confine())))

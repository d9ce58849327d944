"""How busy this machine and this worker are: CPU, memory, GPUs, disk."""

from __future__ import annotations

import hashlib
import math
import os
import socket
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

import psutil
from twisted.logger import Logger

from dpip.model import GpuLoad, Load

_CGROUP: Final = Path("/sys/fs/cgroup")
_MAX_BYTES: Final = 2**60
"""Some network file systems report impossible sizes, which the controller would take for a lie."""
_LEAST_JOB_MEMORY: Final = 2**30
_BOOT_ID: Final = Path("/proc/sys/kernel/random/boot_id")


def cores() -> int:
    """Return how many cores this process may use, by its affinity and its container's share of the CPU."""
    allowed = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = map(int, (_CGROUP / "cpu.max").read_text(encoding="ascii").split())
    except (OSError, ValueError):  # not this kernel, or "max"
        return allowed
    return max(1, min(allowed, math.ceil(quota / period)))


def machine() -> str:
    """Return an id that all processes of this machine share, containers included, until it boots."""
    try:
        known = _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        known = f"{socket.gethostname()} {uuid.getnode()}"
    return hashlib.sha256(known.encode()).hexdigest()[:32]


def memory() -> tuple[int, int]:
    """Return total and available bytes, of the machine or of the container that this is in."""
    now = psutil.virtual_memory()
    limit = _number(_CGROUP / "memory.max")
    if limit is None or limit >= now.total:
        return now.total, now.available
    used = (_number(_CGROUP / "memory.current") or 0) - _reclaimable()
    return limit, max(0, min(now.available, limit - used))


def job_memory() -> int:
    """Return the bytes that one job may use at most, whatever its estimate is."""
    return max(_LEAST_JOB_MEMORY, memory()[0] // 2)


def _number(path: Path) -> int | None:
    try:
        return int(path.read_text(encoding="ascii"))
    except (OSError, ValueError):  # not this kernel, or "max"
        return None


def _reclaimable() -> int:
    """Return the bytes of page cache that the kernel gives back when memory is needed."""
    try:
        lines = (_CGROUP / "memory.stat").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("inactive_file ")), 0)


class Gpus:
    """NVIDIA's GPUs, through NVML where the package ``nvidia-ml-py`` and a driver are installed."""

    log = Logger()

    def __init__(self) -> None:
        self._nvml: Any = None
        self._handles: list[Any] = []

    def open(self) -> None:
        """Find them. A daemon must call this after its fork, which a driver's handles do not survive."""
        try:
            import pynvml
        except ImportError:
            return
        try:
            pynvml.nvmlInit()
            count = pynvml.nvmlDeviceGetCount()
            self._handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(count)]
        except pynvml.NVMLError as error:
            self.log.info("No GPU is used: {error}", error=str(error))
        self._nvml = pynvml

    def __bool__(self) -> bool:
        return bool(self._handles)

    def loads(self) -> tuple[GpuLoad, ...]:
        """Return the load of each GPU that answers."""
        return tuple(load for handle in self._handles if (load := self._load(handle)) is not None)

    def _load(self, handle: Any) -> GpuLoad | None:
        nvml = self._nvml
        try:
            name = nvml.nvmlDeviceGetName(handle)
            used = nvml.nvmlDeviceGetMemoryInfo(handle)
            percent = nvml.nvmlDeviceGetUtilizationRates(handle).gpu
        except nvml.NVMLError:  # a GPU that has failed: there is none then
            return None
        name = name.decode() if isinstance(name, bytes) else name
        return GpuLoad(name[:256], float(percent), int(used.total), int(used.used))


class Sampler:
    """Takes a :class:`Load`, in a few milliseconds; percentages are since the sample before."""

    def __init__(self, gpus: Gpus, disk_free: Callable[[], int]) -> None:
        self._gpus = gpus
        self._disk_free = disk_free
        self._processes: dict[int, psutil.Process] = {}

    def sample(self, children: Sequence[int], running: Sequence[int], idle_percent: float = 0.0) -> Load:
        """Return the load. ``children`` are process ids, ``running`` job numbers.

        May be called in a thread, one call at a time.
        """
        total, available = memory()
        own = [self._usage(process) for process in self._own_processes(children)]
        return Load(
            cpu_percent=float(psutil.cpu_percent(None)),
            memory_total=total,
            memory_available=available,
            own_cpu_percent=sum(percent for percent, _ in own),
            own_memory=sum(resident for _, resident in own),
            gpus=self._gpus.loads(),
            running=tuple(running),
            disk_free=min(self._disk_free(), _MAX_BYTES),
            idle_percent=idle_percent,
        )

    def _own_processes(self, children: Sequence[int]) -> list[psutil.Process]:
        """Return this process and the children; kept, since psutil's percentages are since the last call."""
        kept = {}
        for pid in (os.getpid(), *children):
            with suppress(psutil.NoSuchProcess):
                kept[pid] = self._processes.get(pid) or psutil.Process(pid)
        self._processes = kept
        return list(kept.values())

    def _usage(self, process: psutil.Process) -> tuple[float, int]:
        try:
            return process.cpu_percent(None), process.memory_info().rss
        except psutil.Error:  # it has ended meanwhile
            return 0.0, 0

"""A compute child: the process that filters pictures, one at a time, and may be killed.

It reads commands from standard input and answers on descriptor 3, one JSON object a line; pictures are
passed as files. What it prints goes to the worker's log.

=================== =======================================================================================
worker → child      ``{"job", "source", "sha256", "result", "steps", "output", "max_pixels", "threads",
                    "seconds", "at_least"}``
child → worker      ``{"say"}`` while warming up, ``{"cached"}`` when that will be short,
                    ``{"ready", "rss"}`` once, and for each job
                    ``{"job", "outcome", "code", "detail", "seconds", "sha256", "content_type", "size",
                    "notices", "waited", "rss"}``
=================== =======================================================================================

Once it is warm it is confined, since pictures may be made to attack it. It never outlives its parent: it
ends when its input does (a thread watches), the kernel kills it when the parent dies (Linux), and an alarm
kills it a while after a job's deadline, even where a filter holds the GIL.
"""

from __future__ import annotations

import contextlib
import ctypes
import hashlib
import json
import os
import queue
import resource
import signal
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from math import inf
from pathlib import Path
from typing import Any, Final, Protocol

import psutil

from dpip.errors import PictureError
from dpip.model import MAX_NOTICE, MAX_NOTICES
from dpip.worker.sandbox import confine

REPLIES: Final = 3
UNCONFINED: Final = "--unconfined"
_PR_SET_PDEATHSIG: Final = 1
_ALARM_SECONDS: Final = 10
"""After a job's deadline; by then a living parent has killed this process itself."""
_DETAIL: Final = 1000
_RESIDENT_SECONDS: Final = 0.5

Message = dict[str, Any]


class ComputeResult(Protocol):
    """As ``dpip.filters.process_steps`` returns it."""

    @property
    def data(self) -> bytes: ...

    @property
    def content_type(self) -> str: ...

    @property
    def notices(self) -> Sequence[str]: ...


class Engine(Protocol):
    """What computes."""

    def warm_up(self) -> Mapping[str, Any]:
        """Get ready, and return ``filters`` (name → version), ``fingerprint`` and ``gpu``."""

    def process(self, data: bytes, job: Mapping[str, Any]) -> ComputeResult:
        """Filter a picture."""


class Filters:
    """DPIP's engine. Numba is imported here, in the child, and nowhere else in a worker."""

    def warm_up(self) -> Mapping[str, Any]:
        from dpip.filters import engine, registry
        from dpip.filters.cuda import choice
        from dpip.filters.kernels import compile
        from dpip.filters.warmup import warm_up
        from dpip.runtime.malloc import keep_freed_memory

        keep_freed_memory()
        if compile.is_warm():
            send({"cached": True})

        def report(words: str) -> None:
            send({"say": words})

        warm_up(report)
        gpu = choice.start(report, time.perf_counter)
        filters = {name: registry.find(name).version for name in registry.names()}
        fingerprint = f"{engine.fingerprint()} {choice.backend()}".rstrip()
        return {"filters": filters, "fingerprint": fingerprint, "gpu": gpu}

    def process(self, data: bytes, job: Mapping[str, Any]) -> ComputeResult:
        from dpip.filters import process_steps

        steps = [(name, params) for name, params in job["steps"]]
        return process_steps(
            data,
            steps,
            output=job["output"],
            max_pixels=job["max_pixels"],
            threads=job["threads"],
            at_least=job["at_least"],
        )


def serve(engine: Engine, parent: int, memory_limit: int, confined: bool = True) -> None:
    """Compute until the input ends. ``parent`` is the worker's process id, ``memory_limit`` is in bytes.

    Unless ``confined`` is False, filters reach no network and start no programs, see ``confinement``.
    """
    _die_with(parent)
    commands: queue.SimpleQueue[Message] = queue.SimpleQueue()
    threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
    ready = {**engine.warm_up(), "confined": confine() if confined else ()}
    resident = _Resident()
    send({"ready": ready, "rss": resident.bytes()})
    _limit_memory(memory_limit)
    while True:
        free = time.perf_counter()
        job = commands.get()
        waited = time.perf_counter() - free
        signal.setitimer(signal.ITIMER_REAL, job["seconds"] + _ALARM_SECONDS)
        reply = _done(engine, job)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send({"job": job["job"], **reply, "waited": waited, "rss": resident.bytes()})


def send(message: Message) -> None:
    """Send a message to the worker."""
    data = json.dumps(message).encode() + b"\n"
    while data:
        data = data[os.write(REPLIES, data) :]


def _read_commands(commands: queue.SimpleQueue[Message]) -> None:
    try:
        for line in sys.stdin.buffer:
            commands.put(json.loads(line))
    finally:
        os._exit(0)  # the parent is gone, or has retired this child


def _done(engine: Engine, job: Message) -> Message:
    """Do one job, and return its answer, whatever goes wrong."""
    try:
        data = Path(job["source"]).read_bytes()
    except OSError as error:
        return _answer("returned", "spool-error", f"The original could not be read: {error}")
    if job["sha256"] and hashlib.sha256(data).hexdigest() != job["sha256"]:
        return _answer("crashed", "original-damaged", "The original as it lies in the store is damaged.")
    began = time.perf_counter()
    try:
        result = engine.process(data, job)
        seconds = time.perf_counter() - began
    except PictureError as error:
        return _answer("failed", error.code, error.detail, time.perf_counter() - began)
    except MemoryError:
        words = "The picture needed more memory than one job may use."
        return _answer("crashed", "out-of-memory", words, time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - a filter may raise anything; its picture has failed
        words = f"{type(error).__name__}: {error}"
        return _answer("failed", "filter-error", words, time.perf_counter() - began)
    try:
        Path(job["result"]).write_bytes(result.data)
    except OSError as error:
        return _answer("returned", "disk-full", f"The result could not be written: {error}", seconds)
    sha256, size = hashlib.sha256(result.data).hexdigest(), len(result.data)
    notices = [notice[:MAX_NOTICE] for notice in result.notices[:MAX_NOTICES]]
    made: dict[str, Any] = {"sha256": sha256, "content_type": result.content_type, "size": size}
    return _answer("done", seconds=seconds, notices=notices, **made)


def _answer(outcome: str, code: str = "", detail: str = "", seconds: float = 0.0, **more: Any) -> Message:
    return {"outcome": outcome, "code": code, "detail": detail[:_DETAIL], "seconds": seconds, **more}


def _die_with(parent: int) -> None:
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # crashing filters must not fill the disk
    # Ctrl-C and a supervisor's SIGTERM reach the whole group; the worker decides when its children end.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the kernel was asked
        os._exit(0)


def _limit_memory(limit: int) -> None:
    """Allow so many bytes more than are in use now.

    RLIMIT_DATA counts what is really allocated; RLIMIT_AS would count the gigabytes of addresses that LLVM
    and thread stacks reserve and never touch.
    """
    with contextlib.suppress(OSError, ValueError):  # not every kernel has it
        used = int(getattr(psutil.Process().memory_info(), "data", 0))
        _, hard = resource.getrlimit(resource.RLIMIT_DATA)
        resource.setrlimit(resource.RLIMIT_DATA, (used + limit, hard))


class _Resident:
    """The memory of this process, seldom measured: that takes a tenth of a small picture's time."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._measured = -inf
        self._bytes = 0

    def bytes(self) -> int:
        now = time.perf_counter()
        if now - self._measured >= _RESIDENT_SECONDS:
            self._measured, self._bytes = now, int(self._process.memory_info().rss)
        return self._bytes


def main(engine: Engine) -> None:
    """Run ``python -m … [--unconfined] <parent's process id> <memory limit>``."""
    *flags, parent, memory_limit = sys.argv[1:]
    try:
        serve(engine, int(parent), int(memory_limit), UNCONFINED not in flags)
    except BaseException:  # noqa: BLE001 - it ends here; an orderly end would wait for the thread that reads
        traceback.print_exc()
        sys.stderr.flush()
        os._exit(1)


if __name__ == "__main__":
    main(Filters())

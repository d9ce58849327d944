"""A compute child: the process that filters pictures, one at a time, and may be killed.

It reads commands from standard input and answers on descriptor 3, one JSON object a line. With each job two
open descriptors come over the socket that is descriptor 4: the original's and the result's, so that the child
opens no file by its name. What it prints goes to the worker's log.

=================== =======================================================================================
worker → child      ``{"job", "sha256", "steps", "output", "max_pixels", "threads", "seconds", "at_least"}``
child → worker      ``{"say"}`` while warming up, ``{"cached"}`` when that will be short,
                    ``{"ready", "rss"}`` once, and for each job
                    ``{"job", "outcome", "code", "detail", "seconds", "sha256", "content_type", "size",
                    "notices", "waited", "rss"}``
=================== =======================================================================================

Once it is warm it is confined, since pictures may be made to attack it. It never outlives its parent: once
warm it ends when its input does (a thread watches), the kernel kills it when the parent dies (Linux), and an
alarm kills it a while after a job's deadline, even where a filter holds the GIL.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import queue
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from math import inf
from typing import Any, Final, Protocol

import psutil
from attrs import asdict, frozen

from dpip.errors import NotAnImage, PictureError
from dpip.model import MAX_NOTICE, MAX_NOTICES
from dpip.worker.memory_limit import MemoryLimit
from dpip.worker.sandbox import Confinement, confine

REPLIES: Final = 3
FILES: Final = 4
UNCONFINED: Final = "--unconfined"
_PR_SET_PDEATHSIG: Final = 1
_ALARM_SECONDS: Final = 10
"""After a job's deadline; by then a living parent has killed this process itself."""
_DETAIL: Final = 1000
_RESIDENT_SECONDS: Final = 0.5

_CONFINED_HINT: Final = (
    " Filters are confined: a filter that needs a file reads it when it is imported, or the worker runs with "
    "--unconfined-filters."
)

Message = dict[str, Any]


@frozen
class OpenJob:
    """A job's message, and the descriptors of its two files."""

    message: Message
    source: int
    result: int


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

    def memory(self, data: bytes, job: Mapping[str, Any]) -> int:
        """Reckon the bytes that this job takes."""

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
        filters = registry.versions()
        fingerprint = f"{engine.fingerprint()} {choice.backend()}".rstrip()
        return {"filters": filters, "fingerprint": fingerprint, "gpu": gpu}

    def memory(self, data: bytes, job: Mapping[str, Any]) -> int:
        from dpip.filters.codec import probe
        from dpip.filters.memory import memory_needed

        try:
            info = probe(data)
        except NotAnImage:  # it will be said what is wrong with it
            return 0
        return memory_needed(info, len(data), job["steps"], job["output"], job["at_least"], job["max_pixels"])

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

    Unless ``confined`` is False, filters reach no files, network or programs, see ``sandbox``.
    """
    _die_with(parent)
    abilities = engine.warm_up()
    confinement = confine(gpu=bool(abilities.get("gpu"))) if confined else Confinement()
    commands: queue.SimpleQueue[OpenJob] = queue.SimpleQueue()
    # After the confinement, which does not reach older threads on every kernel.
    threading.Thread(target=_read_commands, args=(commands,), daemon=True).start()
    hint = _CONFINED_HINT if confinement.means else ""
    resident = _Resident()
    send({"ready": {**abilities, "confined": asdict(confinement)}, "rss": resident.bytes()})
    limit = MemoryLimit(memory_limit)
    while True:
        free = time.perf_counter()
        job = commands.get()
        waited = time.perf_counter() - free
        signal.setitimer(signal.ITIMER_REAL, job.message["seconds"] + _ALARM_SECONDS)
        reply = _done(engine, limit, job, hint)
        signal.setitimer(signal.ITIMER_REAL, 0)
        send({"job": job.message["job"], **reply, "waited": waited, "rss": resident.bytes()})


def send(message: Message) -> None:
    """Send a message to the worker."""
    _write(REPLIES, json.dumps(message).encode() + b"\n")


def _write(descriptor: int, data: bytes) -> None:
    """Write all of it."""
    left = memoryview(data)
    while left:
        left = left[os.write(descriptor, left) :]


def _read_commands(commands: queue.SimpleQueue[OpenJob]) -> None:
    try:
        with socket.socket(fileno=FILES) as files:
            for line in sys.stdin.buffer:
                _, (source, result), _, _ = socket.recv_fds(files, 1, 2)
                commands.put(OpenJob(json.loads(line), source, result))
    finally:
        os._exit(0)  # the parent is gone, or has retired this child


def _done(engine: Engine, limit: MemoryLimit, job: OpenJob, hint: str) -> Message:
    """Do one job, and return its answer, whatever goes wrong; ``hint`` is for filters that may not do it."""
    with open(job.source, "rb") as source, open(job.result, "wb", buffering=0) as result:
        limit.allow(os.fstat(job.source).st_size, 1)  # that of the last job may be too little
        try:
            data = source.read()
        except OSError as error:
            return _answer("returned", "spool-error", f"The original could not be read: {error}")
        if job.message["sha256"] and hashlib.sha256(data).hexdigest() != job.message["sha256"]:
            return _answer("crashed", "original-damaged", "The original as it lies in the store is damaged.")
        made, answer = _computed(engine, limit, data, job.message, hint)
        try:
            _write(result.fileno(), made)
        except OSError as error:
            words = f"The result could not be written: {error}"
            return _answer("returned", "disk-full", words, answer["seconds"])
        return answer


def _computed(
    engine: Engine, limit: MemoryLimit, data: bytes, job: Message, hint: str
) -> tuple[bytes, Message]:
    """Return the result's bytes, if there is a result, and the answer."""
    began = time.perf_counter()
    try:
        limit.allow(engine.memory(data, job), job["threads"])
        made = engine.process(data, job)
    except PictureError as error:
        return b"", _answer("failed", error.code, error.detail, time.perf_counter() - began)
    except MemoryError:
        words = "The picture needed more memory than was reckoned for it, or than one job may use."
        return b"", _answer("crashed", "out-of-memory", words, time.perf_counter() - began)
    except Exception as error:  # noqa: BLE001 - a filter may raise anything; its picture has failed
        words = f"{type(error).__name__}: {error}"
        if isinstance(error, PermissionError):
            words += hint
        return b"", _answer("failed", "filter-error", words, time.perf_counter() - began)
    seconds = time.perf_counter() - began
    sha256, size = hashlib.sha256(made.data).hexdigest(), len(made.data)
    notices = [notice[:MAX_NOTICE] for notice in made.notices[:MAX_NOTICES]]
    facts: dict[str, Any] = {"sha256": sha256, "content_type": made.content_type, "size": size}
    return made.data, _answer("done", seconds=seconds, notices=notices, **facts)


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

"""What a job really takes of memory, beside what is reckoned for it.

``python -m tests.filters.peaks`` measures every filter on every kind of file, and fails where a job took more
than was reckoned, or less than half of it and more than 64 MiB. Each job runs in a fork of a warm process, as
an idle compute child is one; the peak is the kernel's (VmHWM), beyond what the fork began with.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import itertools
import json
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from attrs import frozen

from dpip.errors import DpipError
from dpip.filters import process_steps, registry
from dpip.filters.codec import probe
from dpip.filters.memory import memory_needed
from dpip.filters.output import FORMATS
from dpip.filters.warmup import warm_up
from dpip.runtime.malloc import keep_freed_memory
from dpip.worker.memory_limit import MemoryLimit
from tests.filters.noisy import LOOSE, files

MUCH = 64 * 2**20
LIMIT = 16 * 2**30
#: Parameters besides the defaults with which a filter takes the most.
MORE: dict[str, Sequence[dict[str, Any]]] = {
    "resize": (
        {"width": 100},
        {"width": 200, "height": 200, "fit": "stretch", "linear": True},
        {"width": 1500, "linear": True},
    ),
    "crop": ({"width": 500, "place": "saliency"}, {"width": 500, "height": 500, "place": "entropy"}),
    "pad": ({"border": 100}, {"border": 100, "background": "transparent"}),
    "rotate": ({}, {"angle": 10}, {"angle": 10, "background": "transparent", "expand": False}),
    "watermark": ({"text": "w"}, {"text": "w", "tiled": True, "size": 100}),
    "threshold": ({}, {"value": 100}),
    "denoise": ({"radius": 1},),
    "clahe": ({}, {"tiles": 32}),
}


@frozen
class Job:
    kind: str
    side: int
    step: tuple[str, dict[str, Any]]
    output: dict[str, Any]


@frozen
class Measured:
    job: Job
    reckoned: int
    peak: int
    error: str = ""

    def wrong(self) -> str:
        if self.error:
            return self.error
        if self.peak > self.reckoned:
            return "took more than was reckoned"
        name, params = self.job.step
        loose = self.job.kind in LOOSE or params.get("background") == "transparent"
        format = self.job.output.get("format")
        if name == "convert":  # a file may stay as it is; nobody knows how often one of few bytes is tried
            loose |= format is None or self.job.kind.upper().startswith(format)
        if self.peak > MUCH and self.reckoned > 2 * self.peak and not loose:
            return "took less than half of what was reckoned"
        return ""

    def __str__(self) -> str:
        name, params = self.job.step
        figures = f"reckoned {self.reckoned / 2**20:6.0f} MiB, took {self.peak / 2**20:6.0f}"
        return (
            f"{self.job.kind:18} {self.job.side:5} {name:20} {figures} {params or ''} {self.job.output or ''}"
        )


def jobs(kinds: Sequence[str], filters: Sequence[str], sides: Sequence[int]) -> Iterator[Job]:
    for side, kind in itertools.product(sides, kinds):
        for name in filters:
            found = registry.find(name)
            for params in MORE.get(name, ({**found.example},)):
                yield Job(kind, side, (name, params), {})


def conversions(kinds: Sequence[str], side: int) -> Iterator[Job]:
    """Yield jobs that write another format, and at most so many bytes."""
    for kind, format in itertools.product(kinds, FORMATS):
        yield Job(kind, side, ("convert", {}), {"format": format})
    for kind in kinds:
        yield Job(kind, side, ("convert", {}), {"max_bytes": 100_000})


class Meter:
    """Measures jobs, one after the other. Files are made in forks, too, so that this process stays idle."""

    def __init__(self) -> None:
        warm_up(lambda words: None)
        keep_freed_memory()
        self._made: tuple[str, int] | None = None
        self._data = b""

    def measure(self, job: Job) -> Measured | None:
        """Return None if the filter does not take that kind of picture."""
        if self._made != (job.kind, job.side):
            self._made = job.kind, job.side
            self._data = self._in_fork(lambda: files()[job.kind](job.side))
        try:
            reckoned = memory_needed(probe(self._data), len(self._data), [job.step], job.output)
        except DpipError:
            return None
        answer = json.loads(self._in_fork(lambda: json.dumps(self._peak(job, reckoned)).encode()))
        if answer.get("refused"):
            return None
        return Measured(job, reckoned, answer.get("peak", 0), answer.get("error", ""))

    def _peak(self, job: Job, reckoned: int) -> dict[str, Any]:
        data = self._data
        gc.collect()
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
        before = _status("VmRSS")
        MemoryLimit(LIMIT).allow(reckoned, 1)
        try:
            process_steps(data, [job.step], output=job.output)
        except MemoryError:
            return {"error": "was stopped by the limit"}
        except DpipError as problem:
            return {"refused": problem.detail}
        except Exception as problem:  # noqa: BLE001 - it is reported with the job
            return {"error": repr(problem)}
        return {"peak": _status("VmHWM") - before + len(data)}

    def _in_fork(self, work: Callable[[], bytes]) -> bytes:
        read, write = os.pipe()
        child = os.fork()
        if not child:
            try:
                os.close(read)
                made = work()
                resource.setrlimit(resource.RLIMIT_DATA, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
                with open(write, "wb") as out:
                    out.write(made)
            finally:
                os.kill(os.getpid(), signal.SIGKILL)
        os.close(write)
        with open(read, "rb") as answer:
            found = answer.read()
        os.waitpid(child, 0)
        return found


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name + ":"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sides", type=int, nargs="*", default=[60, 700, 2500])
    parser.add_argument("--kinds", nargs="*", default=list(files()))
    parser.add_argument("--filters", nargs="*", default=registry.names())
    parser.add_argument("--no-conversions", action="store_true")
    parser.add_argument("--show-all", action="store_true")
    options = parser.parse_args()
    meter, count, wrong = Meter(), 0, 0
    every = jobs(options.kinds, options.filters, options.sides)
    if not options.no_conversions:
        every = itertools.chain(every, conversions(options.kinds, max(options.sides)))
    for job in every:
        measured = meter.measure(job)
        if measured is not None:
            count += 1
            wrong += bool(measured.wrong())
            if measured.wrong() or options.show_all:
                print(measured, measured.wrong(), flush=True)
    print(f"{count:,} jobs, {wrong} wrong")
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()

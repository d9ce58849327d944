"""Whether a filter runs on the GPU: only if its twin has given equal bytes, and where it is faster.

Twins give the same bytes as the CPU, so the choice changes only the time that a picture takes. It may depend
on the load during the measurement, or on a GPU that fails between two pictures.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Any

import attrs
import numpy as np

from dpip.filters import registry
from dpip.filters.cuda import driver
from dpip.filters.cuda.twin import Trial, Twin
from dpip.filters.schema import Filter, Pixels

Say = Callable[[str], object]
Clock = Callable[[], float]

#: Height and width of the pictures that are compared, and of the small and the large one that are timed.
CHECKED = (45, 61)
TIMED = ((64, 64), (1024, 1024))
#: Bytes of the GPU's memory that must be free: each process has a context, which takes about 400 MB.
ROOM = 1 << 30
_log = logging.getLogger(__name__)
_used: dict[str, _Used] = {}


@attrs.frozen
class Cost:
    """The seconds that a picture takes: a fixed part, and one per byte."""

    fixed: float
    per_byte: float

    def seconds(self, size: int) -> float:
        return self.fixed + self.per_byte * size


@attrs.frozen
class _Used:
    twin: Twin
    costs: Mapping[str, tuple[Cost, Cost]]  # by kind: on the CPU, on the GPU

    def pays(self, array: Pixels, threads: int) -> bool:
        kind = self.twin.kind(array)
        if kind not in self.costs:
            return False
        cpu, gpu = self.costs[kind]
        return gpu.seconds(array.nbytes) < cpu.seconds(array.nbytes) / threads


def run(found: Filter, array: Pixels, params: Mapping[str, Any], threads: int) -> Pixels | None:
    """Return the filter's result from the GPU, or None if the CPU is to compute it.

    Any failure of the GPU, such as too little memory, ends its use in this process.
    """
    used = _used.get(found.name)
    if used is None or not used.pays(array, threads):
        return None
    try:
        return used.twin.function(array, **params)
    except Exception as problem:  # noqa: BLE001 - CUDA has many errors, and after any the CPU takes over
        _used.clear()
        _log.warning("The GPU is not used any more: %s", _why(problem))
        return None


def backend() -> str:
    """Name what computes besides the CPU, for the fingerprint; empty if nothing does."""
    return f"numba-cuda-{version('numba-cuda')}" if _used else ""


def start(say: Say, clock: Clock) -> bool:
    """Compare and time every twin on the GPU, if there is one, and tell whether any will be used.

    ``clock()`` is in seconds; ``say`` is called with a sentence on what the GPU does, or why it does nothing.
    """
    _used.clear()
    if not driver.present():
        return False
    if not driver.installed():
        say('There is a GPU, but numba-cuda is not installed (pip install "dpip[gpu]"): it is not used.')
        return False
    try:
        _make_room()
        for name in registry.names():
            found = registry.find(name)
            if found.cuda and (used := _tried(found, say, clock)) is not None:
                _used[name] = used
    except Exception as problem:  # noqa: BLE001 - a broken installation costs the GPU, not the worker
        _used.clear()
        say(f"The GPU is not used: {_why(problem)}")
        return False
    say(f"The GPU helps with: {', '.join(_used) or 'nothing, the CPU is as fast'}.")
    return bool(_used)


def _make_room() -> None:
    from dpip.filters.cuda.kernels import cuda

    free = cuda.current_context().get_memory_info().free
    if free < ROOM:
        cuda.close()
        raise MemoryError(f"only {free >> 20} MiB of its memory are free.")


def _tried(found: Filter, say: Say, clock: Clock) -> _Used | None:
    """Compare and time a twin; returns None if its bytes differ from the filter's, or it is never faster."""
    twin: Twin = import_module(found.cuda).TWIN
    for trial in (trial for trials in twin.trials.values() for trial in trials):
        if not _same(found, twin, trial):
            say(f"The GPU is not used for {found.name}: it differs from the CPU on {trial}.")
            return None
    costs = {
        kind: (_cost(found.function, trials[0], clock), _cost(twin.function, trials[0], clock))
        for kind, trials in twin.trials.items()
    }
    worth = {kind: pair for kind, pair in costs.items() if pair[1].per_byte < pair[0].per_byte}
    return _Used(twin, worth) if worth else None


def _same(found: Filter, twin: Twin, trial: Trial) -> bool:
    picture = trial.picture(*CHECKED)
    return np.array_equal(found.function(picture, **trial.params), twin.function(picture, **trial.params))


def _cost(function: Callable[..., Pixels], trial: Trial, clock: Clock) -> Cost:
    """Measure a small and a large picture, and draw a line through their times."""
    small, large = (trial.picture(*size) for size in TIMED)
    least, most = (_seconds(function, picture, trial, clock) for picture in (small, large))
    per_byte = max(0.0, most - least) / (large.nbytes - small.nbytes)
    return Cost(max(0.0, least - per_byte * small.nbytes), per_byte)


def _seconds(function: Callable[..., Pixels], picture: Pixels, trial: Trial, clock: Clock) -> float:
    """Return the shortest of three times: disturbances only ever add."""
    times = []
    for _ in range(3):
        began = clock()
        function(picture, **trial.params)
        times.append(clock() - began)
    return min(times)


def _why(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}"[:300]

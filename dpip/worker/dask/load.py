"""The load of a Dask cluster: what its workers' machines report, added up."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any, Final

from attrs import frozen

MOST_SLOTS: Final = 1024


@frozen
class ClusterLoad:
    """Bytes and percentages as in :class:`dpip.model.Load`, of all Dask workers together."""

    slots: int = 1
    memory_total: int = 0
    memory_available: int = 0
    own_memory: int = 0
    cpu_percent: float = 0.0
    own_cpu_percent: float = 0.0
    idle_percent: float = 0.0


@frozen
class _DaskWorker:
    """What the scheduler knows of a Dask worker; ``load`` and ``machine`` are what its host has reported."""

    slots: int
    memory_limit: int
    machine: str
    load: Mapping[str, Any]


def cluster_load(workers: Mapping[str, Mapping[str, Any]], metric: str) -> ClusterLoad:
    """Add up what the scheduler says of its workers; ``metric`` is the name of what their hosts report."""
    running = sorted(_running(workers, metric), key=lambda worker: worker.machine)
    slots = sum(worker.slots for worker in running)
    known = [worker for worker in running if worker.load]
    machines = [list(here) for _, here in groupby(known, key=lambda worker: worker.machine)]
    memory = [_memory(here) for here in machines]
    return ClusterLoad(
        slots=max(1, min(slots, MOST_SLOTS)),
        memory_total=sum(total for total, _ in memory),
        memory_available=sum(available for _, available in memory),
        own_memory=sum(worker.load["own_memory"] for worker in known),
        cpu_percent=_mean((worker.load["cpu_percent"], worker.slots) for worker in known),
        own_cpu_percent=sum(worker.load["own_cpu_percent"] for worker in known),
        idle_percent=_mean((worker.load["idle_percent"], worker.slots) for worker in known),
    )


def _running(workers: Mapping[str, Mapping[str, Any]], metric: str) -> Iterable[_DaskWorker]:
    for worker in workers.values():
        if worker["status"] == "running":
            told = worker["metrics"].get(metric) or {}
            yield _DaskWorker(
                worker["nthreads"], worker["memory_limit"] or 0, told.get("machine", ""), told.get("load", {})
            )


def _memory(here: list[_DaskWorker]) -> tuple[int, int]:
    """Return the total and the available bytes of the Dask workers of one machine, within their limits."""
    total, available = (
        min(worker.load[name] for worker in here) for name in ("memory_total", "memory_available")
    )
    if all(worker.memory_limit for worker in here):
        total = min(total, sum(worker.memory_limit for worker in here))
    used = sum(worker.load["own_memory"] for worker in here)
    return total, max(0, min(available, total - used))


def _mean(weighted: Iterable[tuple[float, int]]) -> float:
    pairs = list(weighted)
    weight = sum(each for _, each in pairs)
    return sum(value * each for value, each in pairs) / weight if weight else 0.0

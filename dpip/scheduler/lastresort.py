"""Jobs for which memory never suffices.

A job that needs more than any machine has free waits ``patience_seconds``, since memory is mostly short for a
moment only, or a larger machine may join. Then:

- if a machine of a capable worker has that much in all, one is emptied (it gets nothing else meanwhile) and
  the job runs there, alone if still more is needed than is free: an estimate that errs upwards, on a machine
  that does nothing else for us, is the best chance the job will ever have;
- if none has, the job fails, and the failure says both numbers.

One machine is emptied at a time, so that huge jobs cannot bring the others to a halt.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from dpip.scheduler.lanes import Flow, Lane
from dpip.scheduler.memory import Machine
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import Worker

CODE = "not-enough-memory"


@frozen
class Alone:
    """The job goes to this worker."""

    worker: Worker


@frozen
class Hopeless:
    """The job fails; ``worker`` is leased the job for the record only."""

    worker: Worker
    detail: str


class LastResort:
    """At most one lane has a machine emptied for it."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.lane: Lane | None = None
        self._machine: Machine | None = None

    def consider(self, flow: Flow, need: int) -> Alone | Hopeless | None:
        """What to do with a flow's next job that has lost its patience; None: wait on."""
        if self.lane is flow.lane:
            worker = self._ready(flow, need)
            return Alone(worker) if worker is not None else None
        able = list(_able(flow))
        if not able:
            return None
        largest = max(able, key=lambda worker: (worker.machine.total, -worker.order))
        if need > largest.machine.total:
            return Hopeless(largest, _detail(need, largest))
        if self.lane is None:
            self._reserve(flow.lane, _roomiest(able, need))
            return self.consider(flow, need)
        return None

    def concerns(self, machine: Machine) -> bool:
        return self._machine is machine

    def end(self) -> Machine | None:
        """The machine is everybody's again. Returns it."""
        machine, self._machine, self.lane = self._machine, None, None
        if machine is not None:
            machine.reserved = False
            self._refile(machine)
        return machine

    def _reserve(self, lane: Lane, machine: Machine) -> None:
        self.lane, self._machine = lane, machine
        machine.reserved = True
        self._refile(machine)

    def _refile(self, machine: Machine) -> None:
        for worker in machine.workers.values():
            self._roster.refile(worker)

    def _ready(self, flow: Flow, need: int) -> Worker | None:
        """The worker for the job, once the machine has the memory or does nothing else."""
        machine = self._machine
        if machine is None or (machine.in_flight and machine.free < need):
            return None
        here = [w for w in _able(flow) if w.machine is machine and not w.resting]
        return min(here, key=lambda worker: (worker.score(), worker.order), default=None)


def _able(flow: Flow) -> Iterator[Worker]:
    for kind in flow.workload.requirement.kinds:
        for worker in kind.workers.values():
            if worker.load is not None and not worker.leaving:
                yield worker


def _roomiest(able: list[Worker], need: int) -> Machine:
    """Where the job fits once it is empty, if there is such a machine; then the least busy, the largest."""

    def room(worker: Worker) -> tuple[int, int, int, int]:
        machine = worker.machine
        return min(machine.base, need), -machine.in_flight, machine.total, -worker.order

    return max((w for w in able if w.machine.total >= need), key=room).machine


def _detail(need: int, largest: Worker) -> str:
    return (
        f"Filtering this picture needs about {_gib(need)} of memory; the largest machine that could do it "
        f"has {_gib(largest.machine.total)}."
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

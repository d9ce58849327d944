"""Jobs for which memory never suffices.

A job that needs more than any machine has free waits ``memory_wait_seconds``: memory is mostly short for a
moment only, and a larger machine may join. Then:

- if a machine of a capable worker has that much in all, one is emptied (it gets nothing else meanwhile) and
  the job runs there, alone if still more is needed than is free: an estimate that errs upwards, on a machine
  that does nothing else for us, is the best chance the job will ever have;
- if none has, the job fails, and the failure says both numbers.

One machine is emptied at a time, so that huge jobs cannot bring the others to a halt.
"""

from __future__ import annotations

from collections.abc import Iterator

from attrs import frozen

from dpip.scheduler.fair_queue import Flow, Lane
from dpip.scheduler.memory import Machine
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import JoinedWorker

CODE = "not-enough-memory"


@frozen
class NeverFits:
    """The job fails; ``worker`` is leased the job for the record only."""

    worker: JoinedWorker
    detail: str


class OversizedJobs:
    """At most one lane has a machine emptied for it."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.lane: Lane | None = None
        self._machine: Machine | None = None

    def consider(self, flow: Flow, need: int) -> NeverFits | None:
        """The flow's next job has waited long enough: it fails, or a machine is emptied if none is yet."""
        able = list(_able(flow))
        if not able:
            return None
        largest = max(able, key=lambda worker: (worker.machine.total, -worker.order))
        if need > largest.machine.total:
            return NeverFits(largest, _detail(need, largest))
        if self.lane is None:
            self.lane, self._machine = flow.lane, _roomiest(able, need)
            self._machine.reserved = True
            self._reindex(self._machine)
        return None

    def worker_for(self, flow: Flow, need: int) -> JoinedWorker | None:
        """The worker for the lane's next job, once the machine has the memory or does nothing else."""
        machine = self._machine
        if machine is None or (machine.in_flight and machine.free < need):
            return None
        here = [worker for worker in _able(flow) if worker.machine is machine and worker.takes_more()]
        return min(here, key=lambda worker: (worker.score(), worker.order), default=None)

    def has_reserved(self, machine: Machine) -> bool:
        return self._machine is machine

    def release_machine(self) -> Machine | None:
        """The machine is everybody's again. Returns it."""
        machine, self._machine, self.lane = self._machine, None, None
        if machine is not None:
            machine.reserved = False
            self._reindex(machine)
        return machine

    def _reindex(self, machine: Machine) -> None:
        for worker in machine.workers.values():
            self._roster.reindex(worker)


def _able(flow: Flow) -> Iterator[JoinedWorker]:
    """Workers that could do it, on machines that know how much memory they have."""
    for kind in flow.workload.requirement.kinds:
        for worker in kind.workers.values():
            if worker.machine.total and not worker.leaving:
                yield worker


def _roomiest(able: list[JoinedWorker], need: int) -> Machine:
    """Where the job fits once it is empty, if there is such a machine; then the least busy, the largest."""

    def room(worker: JoinedWorker) -> tuple[int, int, int, int]:
        machine = worker.machine
        return min(machine.base, need), -machine.in_flight, machine.total, -worker.order

    return max((w for w in able if w.machine.total >= need), key=room).machine


def _detail(need: int, largest: JoinedWorker) -> str:
    return (
        f"Filtering this picture needs about {_gib(need)} of memory; the largest machine that could do it "
        f"has {_gib(largest.machine.total)}."
    )


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"

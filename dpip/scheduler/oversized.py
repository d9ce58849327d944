"""Jobs for which memory never suffices.

A job that needs more than any machine has free waits ``memory_wait_seconds``: memory is mostly short for a
moment only, and a larger machine may join. Then:

- If a machine of a capable worker has that much in all, one is reserved: it gets no other jobs. Once it is
  idle or has the memory, the job runs there, alone if it needs more than is free. Estimates err upwards, so
  that may well suffice.
- If no machine has that much, the job fails, and the failure says both numbers.

One machine is reserved at a time, so that huge jobs cannot stop all others.
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
    """The job must fail. ``worker`` gets the lease, which is for the record only."""

    worker: JoinedWorker
    detail: str


class OversizedJobs:
    """At most one lane has a machine reserved for its next job."""

    def __init__(self, roster: Roster) -> None:
        self._roster = roster
        self.lane: Lane | None = None
        self._machine: Machine | None = None

    def consider(self, flow: Flow, need: int) -> NeverFits | None:
        """Reserve a machine, if none is yet, for the flow's next job, which has waited long enough.

        Returns NeverFits if the job must fail.
        """
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
        """Return the worker for the lane's next job once its machine has the memory or is idle."""
        machine = self._machine
        if machine is None or (machine.in_flight and machine.free < need):
            return None
        here = [worker for worker in _able(flow) if worker.machine is machine and worker.takes_more()]
        return min(here, key=lambda worker: (worker.score(), worker.order), default=None)

    def has_reserved(self, machine: Machine) -> bool:
        return self._machine is machine

    def release_machine(self) -> Machine | None:
        """End the reservation. Returns the machine."""
        machine, self._machine, self.lane = self._machine, None, None
        if machine is not None:
            machine.reserved = False
            self._reindex(machine)
        return machine

    def _reindex(self, machine: Machine) -> None:
        for worker in machine.workers.values():
            self._roster.reindex(worker)


def _able(flow: Flow) -> Iterator[JoinedWorker]:
    """Yield the workers that could do it, on machines whose memory is known."""
    for kind in flow.workload.requirement.kinds:
        for worker in kind.workers.values():
            if worker.machine.total and not worker.leaving:
                yield worker


def _roomiest(able: list[JoinedWorker], need: int) -> Machine:
    """Return the machine where the job fits once it is idle; of several the least busy, then the largest."""

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

"""The workloads that the state knows, with their owners."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define, field

from dpip.model import Step, WaitingJob, Workload
from dpip.scheduler.costs import Chains
from dpip.scheduler.fair_queue import OwnerQueue, WorkloadQueue
from dpip.scheduler.jobs import Job
from dpip.scheduler.matching import asked
from dpip.scheduler.roster import Roster

WantsGpu = Callable[[Sequence[Step]], bool]
"""Says whether one of these steps can use a GPU."""


@define(eq=False, repr=False)
class KnownWorkloads:
    """``most_idle`` workloads without unfinished jobs, new ones too, are remembered at most."""

    _roster: Roster
    _wants_gpu: WantsGpu
    _most_idle: int
    _chains: Chains = field(factory=Chains, init=False)
    # All that ever had a workload: whoever deletes his own has still been served.
    _owners: dict[str, OwnerQueue] = field(factory=dict, init=False)
    _known: dict[str, WorkloadQueue] = field(factory=dict, init=False)
    _unfinished: dict[str, WorkloadQueue] = field(factory=dict, init=False)
    _idle: dict[str, None] = field(factory=dict, init=False)  # without unfinished jobs, the longest first
    _opened: int = field(default=0, init=False)

    def busy_owners(self) -> int:
        """Count the owners with waiting jobs; at least 1."""
        return max(1, len(self.waiting_owners()))

    def waiting_owners(self) -> list[OwnerQueue]:
        """Return the owners with waiting jobs."""
        return [owner for owner in self._owners.values() if owner.waiting]

    def unfinished(self, most: int) -> Collection[WorkloadQueue]:
        """Return the workloads with jobs that have not ended, or none if there are more than ``most``."""
        return self._unfinished.values() if len(self._unfinished) <= most else ()

    def get(self, workload_id: str) -> WorkloadQueue | None:
        return self._known.get(workload_id)

    def open(self, workload: Workload) -> None:
        if workload.id in self._known:
            return
        steps = workload.spec.steps
        queue = WorkloadQueue(
            id=workload.id,
            order=self._opened,
            owner=self._owner(workload.owner),
            chain=self._chains.chain_of(steps),
            requirement=self._roster.require(asked(workload.spec), self._uses_gpu(steps)),
        )
        self._opened += 1
        queue.owner.workloads += 1
        self._known[workload.id] = queue
        self._rest(queue)

    def add(self, queue: WorkloadQueue, jobs: Sequence[WaitingJob]) -> None:
        """Count new jobs, which are unfinished."""
        queue.unfinished += len(jobs)
        queue.forecast.added(sum([queue.chain.size(job.pixels) for job in jobs]))
        self._idle.pop(queue.id, None)
        self._unfinished[queue.id] = queue

    def finish(self, queue: WorkloadQueue, job: Job, now: float) -> None:
        """Count a job that has ended."""
        queue.unfinished -= 1
        queue.forecast.ended(queue.chain.size(job.pixels), now)
        if not queue.unfinished and not queue.dropped:
            del self._unfinished[queue.id]
            self._rest(queue)

    def _rest(self, queue: WorkloadQueue) -> None:
        """Take note of an idle workload. The oldest of too many is forgotten."""
        self._idle[queue.id] = None
        if len(self._idle) > self._most_idle:
            self.forget(next(iter(self._idle)))

    def forget(self, workload_id: str) -> WorkloadQueue | None:
        """Forget a workload. Returns its queue, for the caller to clear, or None if it was unknown."""
        queue = self._known.pop(workload_id, None)
        if queue is not None:
            self._idle.pop(workload_id, None)
            self._unfinished.pop(workload_id, None)
            self._roster.release_requirement(queue.requirement)
            queue.owner.workloads -= 1
            for flow in queue.flows.values():
                flow.lane.discard(flow)
        return queue

    def _uses_gpu(self, steps: Sequence[Step]) -> bool:
        try:
            return self._wants_gpu(steps)
        except Exception:  # noqa: BLE001 - a filter that this controller has lost must not stop all others
            return False

    def _owner(self, name: str) -> OwnerQueue:
        if name not in self._owners:
            self._owners[name] = OwnerQueue(name, self._opened)
        return self._owners[name]

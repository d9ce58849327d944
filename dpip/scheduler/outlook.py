"""When a workload will be done, by its own forecast, corrected for what its pace so far does not show.

* It gets faster when other workloads end, since their workers can then serve it: it is done at the latest
  when all of them together are.
* It gets slower when only huge pictures are left: memory holds only so many at once.
"""

from __future__ import annotations

from attrs import define

from dpip.model import Eta
from dpip.scheduler.fair_queue import WorkloadQueue
from dpip.scheduler.roster import Roster
from dpip.scheduler.workloads import KnownWorkloads

_DOUBT = 1.15  # the range is at least this factor to either side
_MANY = 64  # unfinished workloads: the end of one of them changes little, and asking all of them takes time


@define
class Outlook:
    _workloads: KnownWorkloads
    _roster: Roster

    def eta(self, workload: WorkloadQueue, now: float) -> Eta | None:
        """Return when the workload's jobs will have ended; None when that is unknown."""
        speed = sum(kind.speed for kind in workload.requirement.kinds)

        def guess() -> float:
            """Return the size each second on its share of the workers, by its chain's cost elsewhere."""
            shares = self._workloads.busy_owners() * workload.owner.workloads
            return speed / shares / workload.chain.seconds(1)

        own = workload.forecast.eta(now, guess if speed > 0 else None)
        if own is None or not own.seconds:
            return own
        seconds = max(min(own.seconds, self._together(workload, now)), self._in_memory(workload, now))
        return Eta(seconds, min(own.low, seconds / _DOUBT), max(own.high, seconds * _DOUBT))

    def _together(self, workload: WorkloadQueue, now: float) -> float:
        """Return the seconds until all workloads are done that only this one's workers serve."""
        ours = {id(kind) for kind in workload.requirement.kinds}
        left, pace = 0.0, 0.0
        for other in self._workloads.unfinished(_MANY):
            if ours.issuperset(id(kind) for kind in other.requirement.kinds):
                cost = other.chain.seconds(1)
                left += other.forecast.remaining * cost
                pace += other.forecast.pace(now) * cost
        return left / pace if pace else float("inf")

    def _in_memory(self, workload: WorkloadQueue, now: float) -> float:
        """Return the seconds for which its waiting jobs would fill the memory of all machines."""
        held = 0.0
        for flow in workload.flows.values():
            if flow.jobs:
                job, need = flow.next_job()
                held += len(flow.jobs) * need * workload.chain.seconds(workload.chain.size(job.pixels))
        memory = self._roster.memory(now)
        return held / memory if memory else 0.0

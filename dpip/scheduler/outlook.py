"""When a workload will be done, from its own pace so far and from what that pace does not show.

* It will get faster when other workloads end whose workers can then serve it: it is done at the latest when
  all of them together are.
* It may get slower when small pictures have gone and huge ones are left: memory holds only so many at once.
"""

from __future__ import annotations

from dpip.model import Eta
from dpip.scheduler.costs import size_of
from dpip.scheduler.fair_queue import WorkloadQueue
from dpip.scheduler.packing import next_job
from dpip.scheduler.roster import Roster
from dpip.scheduler.workloads import KnownWorkloads

_DOUBT = 1.15  # how far off, to either side, would be no surprise
_MANY = 64  # unfinished workloads: the end of one of them changes little, and asking all of them takes time


class Outlook:
    def __init__(self, workloads: KnownWorkloads, roster: Roster) -> None:
        self._workloads = workloads
        self._roster = roster

    def eta(self, workload: WorkloadQueue, now: float) -> Eta | None:
        """When the workload's jobs will have ended; None when nobody can tell."""
        speed = sum(kind.speed for kind in workload.requirement.kinds)

        def guess() -> float:
            """Sizes each second, on its share of the workers, by what its chain costs elsewhere."""
            shares = self._workloads.busy_owners() * workload.owner.workloads
            return speed / shares / workload.chain.seconds(1)

        own = workload.forecast.eta(now, guess if speed > 0 else None)
        if own is None or not own.seconds:
            return own
        seconds = max(min(own.seconds, self._together(workload, now)), self._in_memory(workload, now))
        return Eta(seconds, min(own.low, seconds / _DOUBT), max(own.high, seconds * _DOUBT))

    def _together(self, workload: WorkloadQueue, now: float) -> float:
        """Seconds until all that is done by workers of ours is done, at the pace of all of it."""
        ours = {id(kind) for kind in workload.requirement.kinds}
        left, pace = 0.0, 0.0
        for other in self._workloads.unfinished(_MANY):
            if ours.issuperset(id(kind) for kind in other.requirement.kinds):
                cost = other.chain.seconds(1)
                left += other.forecast.remaining * cost
                pace += other.forecast.pace(now) * cost
        return left / pace if pace else float("inf")

    def _in_memory(self, workload: WorkloadQueue, now: float) -> float:
        """Seconds for which its waiting jobs would fill the memory of all machines."""
        held = 0.0
        for flow in workload.flows.values():
            if flow.jobs:
                job, need = next_job(flow)
                held += len(flow.jobs) * need * workload.chain.seconds(size_of(job.pixels))
        memory = self._roster.memory(now)
        return held / memory if memory else 0.0

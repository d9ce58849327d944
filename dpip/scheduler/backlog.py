"""All waiting jobs, and which of them are worth trying to place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from dpip.model import WaitingJob
from dpip.scheduler.fair_queue import Blocked, Entry, Flow, Lane, OwnerQueue, WorkloadQueue, enter, lowest
from dpip.scheduler.jobs import Job
from dpip.scheduler.matching import Requirement
from dpip.scheduler.memory import size_class

_CREDIT = 30.0  # seconds of computing that an owner blocked while others were served may catch up with
_STEP = 0.05  # seconds: corrections are gathered up to that, since each may move entries of heaps


def _served(virtual: float, tag: float, cost: float) -> tuple[float, float]:
    """Return the virtual time and the new tag after a job of this cost is served at this tag."""
    if tag >= virtual:
        return tag, tag + cost
    return virtual, max(tag, virtual - _CREDIT) + cost


def _settle(queue: OwnerQueue | WorkloadQueue, virtual: float, change: float) -> bool:
    """Correct the tag by so many seconds. Returns whether it has fallen.

    It falls no lower than the present virtual time: what was estimated too high was nobody else's either.
    """
    queue.unsettled += change
    if abs(queue.unsettled) < _STEP:
        return False
    before = queue.tag
    queue.tag = max(before + queue.unsettled, min(before, virtual))
    queue.unsettled = 0.0
    return queue.tag < before


class Backlog:
    """A requirement or a lane that cannot be served is closed, and costs nothing until it is opened again."""

    def __init__(self) -> None:
        self._open: list[Entry] = []  # a heap of requirements
        self._lanes = 0
        self.virtual = 0.0  # the highest tag at which an owner was served: new owners start here
        self.waiting = 0
        self.short_of_memory: dict[int, Lane] = {}  # closed lanes, by order

    def add(self, workload: WorkloadQueue, jobs: Sequence[WaitingJob]) -> None:
        """Add new jobs of a workload behind those it has. Runs of one size are cheap: a million in 2 s."""
        self._begin_waiting(workload, len(jobs))
        for memory, run in groupby(jobs, key=attrgetter("memory")):
            flow = self._flow(workload, memory)
            empty = not flow.jobs
            flow.jobs.extend(run)
            if empty:
                flow.lane.enter(flow)
                self.open_lane(flow.lane)

    def put_back(self, workload: WorkloadQueue, job: Job) -> None:
        """Have a job that was held wait again, before the others."""
        self._begin_waiting(workload, 1)
        flow = self._flow(workload, job.memory)
        flow.jobs.put_back(job)
        flow.lane.enter(flow)
        self.open_lane(flow.lane)

    def first(self) -> Flow | None:
        """Return the flow whose job is next among all that are open."""
        return lowest(self._open)

    def take_job(self, flow: Flow, seconds: float) -> None:
        """Remove the flow's next job, and count its estimated seconds for its workload and owner."""
        workload, owner = flow.workload, flow.workload.owner
        flow.jobs.drop_first()
        self._count(workload, -1)
        self.virtual, owner.tag = _served(self.virtual, owner.tag, seconds)
        owner.virtual, workload.tag = _served(owner.virtual, workload.tag, seconds)

    def correct(self, workload: WorkloadQueue, seconds: float) -> None:
        """Count so many seconds more, or less if negative, than were estimated for one of its jobs."""
        owner = workload.owner
        if _settle(workload, owner.virtual, seconds):
            for flow in workload.flows.values():
                if flow.listed:
                    flow.lane.resort_flows(owner)
                    self._reenter(flow.lane)
        if _settle(owner, self.virtual, seconds):
            for lane in list(owner.lanes.values()):  # one may turn out to have none of his jobs
                lane.resort_owners()
                self._reenter(lane)

    def close(self, requirement: Requirement, why: Blocked) -> None:
        """Close a requirement none of whose workers has room, or that has no workers."""
        requirement.stamp += 1
        requirement.blocked = why

    def open(self, requirement: Requirement) -> None:
        requirement.blocked = None
        enter(self._open, (requirement.order, 0), requirement)

    def close_lane(self, lane: Lane, why: Blocked, need: int) -> None:
        """Close a lane whose next job needs ``need`` bytes and cannot be placed; other sizes may be."""
        lane.stamp += 1
        lane.blocked, lane.blocked_need = why, need
        lane.requirement.closed[lane.size_class] = lane
        if why is Blocked.MEMORY:
            self.short_of_memory[lane.order] = lane

    def open_lane(self, lane: Lane) -> None:
        """Open a lane. In one workload larger jobs go first: small ones fill the gaps they leave."""
        requirement = lane.requirement
        lane.blocked = None
        requirement.closed.pop(lane.size_class, None)
        self.short_of_memory.pop(lane.order, None)
        enter(requirement.open, (-lane.size_class, lane.order), lane)
        if requirement.blocked is None:
            self.open(requirement)

    def _reenter(self, lane: Lane) -> None:
        """Have the heaps show that an open lane's next job comes earlier now."""
        if lane.blocked is None:
            self.open_lane(lane)

    def offer(self, requirement: Requirement, free: int) -> None:
        """Open what a matching worker with ``free`` bytes of memory may take a job of."""
        if requirement.blocked is not None:
            self.open(requirement)
        for lane in list(requirement.closed.values()) if requirement.closed else ():
            if lane.blocked is Blocked.LATER or lane.blocked_need <= free:
                self.open_lane(lane)

    def discard(self, workload: WorkloadQueue) -> None:
        """Drop the waiting jobs of a deleted workload."""
        self._count(workload, -workload.waiting)
        for flow in workload.flows.values():
            flow.jobs.clear()
            flow.lane.discard(flow)
            flow.lane.short_since = None
            self.open_lane(flow.lane)  # another job is its first now, or none is

    def _flow(self, workload: WorkloadQueue, need: int) -> Flow:
        size = size_class(need)
        flow = workload.flows.get(size)
        if flow is None:
            lane = workload.requirement.lanes.get(size)
            if lane is None:
                lane = workload.requirement.lanes[size] = Lane(workload.requirement, size, self._lanes)
                self._lanes += 1
            flow = workload.flows[size] = Flow(workload, lane)
        return flow

    def _begin_waiting(self, workload: WorkloadQueue, jobs: int) -> None:
        """Count jobs that begin to wait. An owner or workload that had none starts at the present virtual
        time: it gets no credit for the time in which it had no jobs, and no debt."""
        owner = workload.owner
        if not owner.waiting:
            owner.tag = max(owner.tag, self.virtual)
        if not workload.waiting:
            workload.tag = max(workload.tag, owner.virtual)
        self._count(workload, jobs)

    def _count(self, workload: WorkloadQueue, jobs: int) -> None:
        workload.waiting += jobs
        workload.owner.waiting += jobs
        workload.requirement.waiting += jobs
        self.waiting += jobs

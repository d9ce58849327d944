"""All waiting jobs, and which of them are worth trying to place."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from operator import attrgetter

from dpip.model import WaitingJob
from dpip.scheduler.costs import size_of
from dpip.scheduler.fair_queue import Blocked, Entry, Flow, Lane, WorkloadQueue, enter, lowest
from dpip.scheduler.jobs import Job
from dpip.scheduler.matching import Requirement
from dpip.scheduler.memory import size_class

_CREDIT = 30.0  # seconds of computing that may be caught up by who was blocked while others were served


def _served(virtual: float, tag: float, cost: float) -> tuple[float, float]:
    """The virtual time and the tag after serving who has this tag."""
    if tag >= virtual:
        return tag, tag + cost
    return virtual, max(tag, virtual - _CREDIT) + cost


class Backlog:
    """A requirement or a lane that cannot be served is closed, and costs nothing until it is opened again."""

    def __init__(self) -> None:
        self._open: list[Entry] = []  # a heap of requirements
        self._lanes = 0
        self.virtual = 0.0  # the highest tag an owner was served at: where newcomers start
        self.waiting = 0
        self.short_of_memory: dict[int, Lane] = {}  # closed lanes, by order

    def add(self, workload: WorkloadQueue, jobs: Sequence[WaitingJob]) -> None:
        """New jobs of a workload, behind those it has. Runs of one size are cheap: a million in 2 s."""
        self._arrive(workload, len(jobs))
        for decoded_bytes, run in groupby(jobs, key=attrgetter("decoded_bytes")):
            flow = self._flow(workload, workload.need(decoded_bytes))
            empty = not flow.jobs
            flow.jobs.extend(run)
            if empty:
                flow.lane.enter(flow)
                self.open_lane(flow.lane)

    def put_back(self, workload: WorkloadQueue, job: Job) -> None:
        """A job that was held waits again, before the others."""
        self._arrive(workload, 1)
        flow = self._flow(workload, workload.need(job.decoded_bytes))
        flow.jobs.put_back(job)
        flow.lane.enter(flow)
        self.open_lane(flow.lane)

    def first(self) -> Flow | None:
        """The flow whose job is next among all that are open."""
        return lowest(self._open)

    def take_job(self, flow: Flow, job: Job) -> None:
        """Take the flow's next job, this one, and charge it to its workload and owner."""
        workload, owner = flow.workload, flow.workload.owner
        flow.jobs.drop_first()
        self._count(workload, -1)
        cost = workload.chain.seconds(size_of(job.pixels))
        self.virtual, owner.tag = _served(self.virtual, owner.tag, cost)
        owner.virtual, workload.tag = _served(owner.virtual, workload.tag, cost)

    def close(self, requirement: Requirement, why: Blocked) -> None:
        """None of its workers has room, or it has none."""
        requirement.stamp += 1
        requirement.blocked = why

    def open(self, requirement: Requirement) -> None:
        requirement.blocked = None
        enter(self._open, (requirement.order, 0), requirement)

    def close_lane(self, lane: Lane, why: Blocked, need: int) -> None:
        """Its next job, which needs so much memory, cannot be placed; smaller or larger ones may be."""
        lane.stamp += 1
        lane.blocked, lane.blocked_need = why, need
        lane.requirement.closed[lane.size_class] = lane
        if why is Blocked.MEMORY:
            self.short_of_memory[lane.order] = lane

    def open_lane(self, lane: Lane) -> None:
        """In one workload larger jobs go first: small ones fill the gaps they leave."""
        requirement = lane.requirement
        lane.blocked = None
        requirement.closed.pop(lane.size_class, None)
        self.short_of_memory.pop(lane.order, None)
        enter(requirement.open, (-lane.size_class, lane.order), lane)
        if requirement.blocked is None:
            self.open(requirement)

    def offer(self, requirement: Requirement, free: int) -> None:
        """A worker that matches may take a job now, of so much memory."""
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

    def _arrive(self, workload: WorkloadQueue, jobs: int) -> None:
        """Who comes new starts at the present virtual time: no credit for time away, and no debt."""
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

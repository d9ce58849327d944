"""Waiting jobs in the order of fairness: flows in lanes, lanes in requirements.

Start-time fair queueing (Goyal, Vin, Cheng 1996), first over owners, then over workloads. Every owner has a
tag, the virtual time up to which it has been served. Serving it raises the tag by the job's estimated
seconds, which are replaced by the measured ones when the attempt has ended, however it did. The lowest tag is
served next. So owners share equally, whatever they have waiting, and so do the workloads of one owner. There
are two levels because an owner with one image in each of 10,000 workloads would otherwise have 10,000 new
workloads, each to be served at once.

All heaps here are lazy: where a tag has grown, its entry is corrected when it comes to the top, and no entry
is ever searched for. Where a tag falls, since an estimate was too high, the heaps that hold it are made anew.
"""

from __future__ import annotations

from enum import Enum
from heapq import heapify, heappop, heappush, heapreplace
from typing import TYPE_CHECKING, NamedTuple, Protocol

from attrs import define, field

from dpip.scheduler.costs import Estimate
from dpip.scheduler.forecast import Forecast
from dpip.scheduler.jobs import Job, JobQueue

if TYPE_CHECKING:  # a circle of types: queues count what workers hold
    from dpip.scheduler.costs import Chain
    from dpip.scheduler.matching import Requirement
    from dpip.scheduler.workers import HeldJob

Key = tuple[float, int, float]  # owner's tag, owner's order, workload's tag


class Charges(NamedTuple):
    """How often a job's attempts ended with a crash, and with the loss of the worker."""

    crashes: int = 0
    losses: int = 0


class Blocked(Enum):
    """Why a waiting job is with no worker."""

    NO_WORKER = "No worker has joined"
    INCAPABLE = "no joined worker has its filters and tags"
    BUSY = "all workers that can do it are busy"
    MEMORY = "no worker that can do it has enough free memory at present"
    LATER = "a better place for it will be free soon"


@define(eq=False, repr=False)
class OwnerQueue:
    name: str
    order: int
    tag: float = 0.0
    unsettled: float = 0.0  # measured less estimated seconds that its tag does not show yet
    virtual: float = 0.0  # the virtual time of its workloads among themselves
    waiting: int = 0
    workloads: int = 0
    lanes: dict[int, Lane] = field(factory=dict)  # where it has an entry, by the lane's order


@define(eq=False, repr=False)
class WorkloadQueue:
    """What the scheduler keeps of one workload."""

    id: str
    order: int
    owner: OwnerQueue
    chain: Chain
    requirement: Requirement
    tag: float = 0.0
    unsettled: float = 0.0  # as an owner's
    waiting: int = 0
    unfinished: int = 0  # jobs that are waiting, held or being released
    forecast: Forecast = field(factory=Forecast)
    own_cost: Estimate = field(factory=Estimate)  # as its chain's, from its own jobs alone
    flows: dict[int, Flow] = field(factory=dict)  # by size class
    charges: dict[int, Charges] = field(factory=dict)  # by job number, only where there are any
    held: dict[int, HeldJob] = field(factory=dict)  # jobs that workers have
    moved: set[int] = field(factory=set)  # jobs taken from a slow worker for an idle one
    dropped: bool = False


@define(eq=False, repr=False)
class Flow:
    """The waiting jobs of one workload that need about the same memory: one too large blocks no small one."""

    workload: WorkloadQueue
    lane: Lane
    jobs: JobQueue = field(factory=JobQueue)
    listed: bool = False  # its lane has an entry for it

    def next_job(self) -> tuple[Job, int]:
        """Return the next job, which stays, and the bytes of memory that it needs."""
        job = self.jobs.first()
        return job, job.memory

    def key(self) -> Key:
        """Return what orders flows: the lowest is served first."""
        workload = self.workload
        return workload.owner.tag, workload.owner.order, workload.tag


class Place(Protocol):
    """What has a first flow: a lane or a requirement. A heap's entry with another stamp is stale."""

    stamp: int

    def first(self) -> Flow | None: ...


Entry = tuple[Key, tuple[int, int], int, Place]  # key of the place's first flow, tie-break, stamp


def enter(heap: list[Entry], tie: tuple[int, int], place: Place) -> None:
    """Give the place an entry in the heap for its first flow, instead of one it may have there."""
    flow = place.first()
    if flow is not None:
        place.stamp += 1
        heappush(heap, (flow.key(), tie, place.stamp, place))


def lowest(heap: list[Entry]) -> Flow | None:
    """Return the first of the first flows of all places."""
    while heap:
        then, tie, stamp, place = heap[0]
        flow = place.first() if stamp == place.stamp else None
        if flow is None:
            heappop(heap)
            continue
        if len(heap) == 1:  # no need to know its key
            return flow
        key = flow.key()
        if key > then:
            heapreplace(heap, (key, tie, stamp, place))
        if heap[0][3] is place:
            return flow
    return None


_Flows = list[tuple[float, int, Flow]]  # a heap by workload's tag and order


@define(eq=False, repr=False)
class Lane:
    """The flows of one requirement and one size class: when the next of them fits nowhere, none does."""

    requirement: Requirement
    size_class: int
    order: int
    owners: list[tuple[float, int, OwnerQueue]] = field(factory=list)  # a heap by tag and order
    flows: dict[int, _Flows] = field(factory=dict)  # by owner's order
    stamp: int = 0
    blocked: Blocked | None = None
    blocked_need: int = 0
    timed: bool = False  # there is a timer for the time when it has waited long enough for memory
    short_since: float | None = None  # since when its next job has fitted nowhere for want of memory

    def enter(self, flow: Flow) -> None:
        """Enter a flow that has got its first job, unless it has an entry, perhaps a stale one."""
        owner = flow.workload.owner
        if not flow.listed:
            flow.listed = True
            if owner.order not in self.flows:
                self.flows[owner.order] = []
                owner.lanes[self.order] = self
                heappush(self.owners, (owner.tag, owner.order, owner))
            heappush(self.flows[owner.order], (flow.workload.tag, flow.workload.order, flow))

    def first(self) -> Flow | None:
        while self.owners:
            tag, order, owner = self.owners[0]
            if owner.tag > tag and len(self.owners) > 1:
                heapreplace(self.owners, (owner.tag, order, owner))
                continue
            flow = _first(self.flows[order])
            if flow is not None:
                return flow
            heappop(self.owners)
            del self.flows[order], owner.lanes[self.order]
        return None

    def resort_owners(self) -> None:
        """Order the owners anew: the tag of one has fallen."""
        self.owners = [(owner.tag, order, owner) for _, order, owner in self.owners]
        heapify(self.owners)

    def resort_flows(self, owner: OwnerQueue) -> None:
        """Order this owner's flows anew: the tag of a workload has fallen."""
        flows = self.flows[owner.order]
        flows[:] = [(flow.workload.tag, order, flow) for _, order, flow in flows]
        heapify(flows)

    def discard(self, flow: Flow) -> None:
        """Remove a flow whose workload is deleted."""
        owner = flow.workload.owner
        if not flow.listed:
            return
        flow.listed = False
        flows = self.flows[owner.order]
        flows[:] = [entry for entry in flows if entry[2] is not flow]
        heapify(flows)
        if not flows:
            del self.flows[owner.order], owner.lanes[self.order]
            self.owners = [entry for entry in self.owners if entry[2] is not owner]
            heapify(self.owners)


def _first(flows: _Flows) -> Flow | None:
    while flows:
        tag, order, flow = flows[0]
        if not flow.jobs:
            heappop(flows)
            flow.listed = False
        elif flow.workload.tag > tag and len(flows) > 1:
            heapreplace(flows, (flow.workload.tag, order, flow))
        else:
            return flow
    return None

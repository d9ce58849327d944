"""Bringing jobs and workers together: which waiting jobs are worth trying, and what each gets.

What cannot be placed is closed, so that a decision looks only at what may succeed; it opens again when a
worker that matches gets room, or when its patience is over.
"""

from __future__ import annotations

from heapq import heappop, heappush

from attrs import define

from dpip.scheduler.backlog import Backlog
from dpip.scheduler.jobs import Job
from dpip.scheduler.lanes import Blocked, Flow, Lane
from dpip.scheduler.lastresort import LastResort
from dpip.scheduler.limits import Limits
from dpip.scheduler.policy import choose
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import Worker


@define(eq=False, repr=False)
class Deal:
    """The flow's next job goes to this worker, or fails because of ``hopeless``."""

    flow: Flow
    job: Job
    worker: Worker
    need: int
    hopeless: str | None = None


class Dealer:
    def __init__(self, backlog: Backlog, roster: Roster, limits: Limits) -> None:
        self._backlog = backlog
        self._limits = limits
        self._last_resort = LastResort(roster)
        self._patience: list[tuple[float, int, Lane]] = []  # a heap: when lanes short of memory lose it

    def deal(self, now: float) -> Deal | None:
        """The next job and its worker; None when nothing more can be placed."""
        deal = self._last_resort_deal()
        if deal is not None:
            return deal
        while (flow := self._backlog.first()) is not None:
            job = flow.jobs.first()
            need = flow.workload.need(job.decoded_bytes)
            chosen = choose(flow, job, need)
            if isinstance(chosen, Worker):
                self._placed(flow.lane)
                return Deal(flow, job, chosen, need)
            deal = self._lost_patience(flow, job, need, now) if chosen is Blocked.MEMORY else None
            if deal is not None:
                return deal
            self._close(flow.lane, chosen, need)
        return None

    def offer(self, worker: Worker) -> None:
        """The worker may have room that it had not, and so may its whole machine."""
        machine = worker.machine
        for one in machine.workers.values() if self._backlog.short_of_memory else (worker,):
            self._offer(one, machine.free if one.filed else -1)

    def withdrawn(self, worker: Worker) -> None:
        """The worker takes no more jobs: nobody may wait for it."""
        self._offer(worker, -1)
        if self._last_resort.concerns(worker.machine):
            self._end_last_resort()

    def shortened(self, lane: Lane) -> None:
        """Jobs of the lane were deleted."""
        if self._last_resort.lane is lane:
            self._end_last_resort()

    def next_patience(self) -> float | None:
        """When a lane will lose its patience."""
        return self._patience[0][0] if self._patience else None

    def lose_patience(self, now: float) -> None:
        while self._patience and self._patience[0][0] <= now:
            lane = heappop(self._patience)[2]
            if lane.blocked is Blocked.MEMORY:
                self._backlog.open_lane(lane)

    def _close(self, lane: Lane, why: Blocked, need: int) -> None:
        if why in (Blocked.BUSY, Blocked.INCAPABLE):
            self._backlog.close(lane.requirement, why)
        else:
            self._backlog.close_lane(lane, why, need)

    def _offer(self, worker: Worker, free: int) -> None:
        for requirement in worker.kind.requirements:
            self._backlog.offer(requirement, free)

    def _placed(self, lane: Lane) -> None:
        lane.short_since = None
        if self._last_resort.lane is lane:
            self._end_last_resort()

    def _lost_patience(self, flow: Flow, job: Job, need: int, now: float) -> Deal | None:
        lane, patience = flow.lane, self._limits.patience_seconds
        if lane.short_since is None:
            lane.short_since = now
            heappush(self._patience, (now + patience, lane.order, lane))
        if now < lane.short_since + patience:
            return None
        hopeless = self._last_resort.consider(flow, need)
        if hopeless is not None:
            return Deal(flow, job, hopeless.worker, need, hopeless.detail)
        return self._last_resort_deal()

    def _last_resort_deal(self) -> Deal | None:
        lane = self._last_resort.lane
        flow = lane.first() if lane is not None else None
        if flow is None:
            return None
        job = flow.jobs.first()
        need = flow.workload.need(job.decoded_bytes)
        worker = self._last_resort.ready(flow, need)
        if worker is None:
            return None
        self._end_last_resort()  # the lane's patience stays lost: its next job need not wait for that again
        return Deal(flow, job, worker, need)

    def _end_last_resort(self) -> None:
        """The lanes that waited for their turn with it, and those that could use its machine, try again."""
        machine = self._last_resort.end()
        for lane in list(self._backlog.short_of_memory.values()):
            self._backlog.open_lane(lane)
        for worker in machine.workers.values() if machine is not None else ():
            if worker.filed:
                self._offer(worker, worker.machine.free)

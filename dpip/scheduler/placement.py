"""Chooses a worker for each waiting job in turn.

A lane or requirement whose next job cannot be placed is closed, so that a decision looks only at what may
succeed. It opens again when a worker that matches gets room, or when it has waited long enough for memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from heapq import heappop, heappush

from attrs import Factory, define, field

from dpip.scheduler.backlog import Backlog
from dpip.scheduler.fair_queue import Blocked, Flow, Lane
from dpip.scheduler.jobs import Job
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.oversized import OversizedJobs
from dpip.scheduler.packing import better_packed, exceeds_slot_share
from dpip.scheduler.policy import choose_worker, is_waste
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import JoinedWorker


@define(eq=False, repr=False)
class Placed:
    """The flow's next job goes to this worker, or fails for the reason ``failure``."""

    flow: Flow
    job: Job
    worker: JoinedWorker
    need: int
    failure: str | None = None


@define(eq=False, repr=False)
class Placement:
    _backlog: Backlog
    _roster: Roster
    _limits: SchedulerLimits
    _oversized: OversizedJobs = field(
        default=Factory(lambda self: OversizedJobs(self._roster), takes_self=True), init=False
    )
    _memory_waits: list[tuple[float, int, Lane]] = field(factory=list, init=False)  # a heap by their end

    def placements(self, now: float, most: int) -> Iterator[Placed]:
        """Yield the next jobs, each with its worker. Each is to be taken before the next is asked for.

        GPUs first get work that can use them, other workers other work. What room is left then goes to any.
        """
        for wasteful in (False, True):
            aside: list[Lane] = []
            while most and (placed := self._place_next(now, aside, wasteful)) is not None:
                most -= 1
                yield placed
            for lane in aside:
                self._backlog.open_lane(lane)
            if not aside:
                return

    def _place_next(self, now: float, aside: list[Lane], wasteful: bool) -> Placed | None:
        placed = self._oversized_job() if self._oversized.lane is not None else None
        while placed is None and self._roster.room and (flow := self._backlog.first()) is not None:
            placed = self._try(flow, now, aside, wasteful)
        return placed

    def worthwhile(self) -> bool:
        """Say whether there may be placements."""
        return self._roster.room > 0 and self._backlog.first() is not None

    def _try(self, flow: Flow, now: float, aside: list[Lane], wasteful: bool) -> Placed | None:
        """Place the flow's next job, or close its lane."""
        lane = flow.lane
        job, need = flow.next_job()
        chosen = choose_worker(flow, job, need)
        if isinstance(chosen, JoinedWorker):
            if self._backlog.short_of_memory and self._would_take_scarce_memory(chosen):
                chosen = Blocked.LATER
            elif wasteful or not is_waste(lane.requirement, chosen):
                return self._place_at(chosen, flow, job, need, now)
            else:
                aside.append(lane)
                chosen = Blocked.LATER
        elif chosen is Blocked.MEMORY and self._has_waited_enough(lane, now):
            placed = self._place_oversized(flow, job, need)
            if placed is not None:
                return placed
        self._close(lane, chosen, need)
        return None

    def _place_at(self, worker: JoinedWorker, flow: Flow, job: Job, need: int, now: float) -> Placed:
        """Place the flow's next job, or one of the same workload that fills the worker's memory better."""
        if exceeds_slot_share(worker, need):
            better = better_packed(flow, need, worker)
            if better is not flow and not self._has_waited_enough(flow.lane, now):
                flow = better
                job, need = flow.next_job()
        self._placed(flow.lane)
        return Placed(flow, job, worker, need)

    def _would_take_scarce_memory(self, worker: JoinedWorker) -> bool:
        """Say whether the job would only wait there, and take memory that other jobs wait for."""
        if len(worker.held) < worker.info.slots:
            return False
        short = self._backlog.short_of_memory.values()
        return any(lane.requirement in worker.kind.requirements for lane in short)

    def reason_waiting(self, flow: Flow) -> str:
        """Return, in words, why the flow's next job has no worker."""
        if not self._roster.workers:
            return Blocked.NO_WORKER.value
        if not flow.lane.requirement.kinds:
            return Blocked.INCAPABLE.value
        blocked = flow.lane.blocked or flow.lane.requirement.blocked
        if blocked is None:
            return Blocked.BUSY.value if not self._roster.room else "its turn comes next"
        return blocked.value

    def offer(self, worker: JoinedWorker) -> None:
        """Open what may be placed now that the worker, and so its whole machine, may have more room."""
        machine = worker.machine
        for one in machine.workers.values() if self._backlog.short_of_memory else (worker,):
            self._offer(one, machine.free)

    def worker_withdrawn(self, worker: JoinedWorker) -> None:
        """End the reservation of the machine of a worker that takes no more jobs."""
        if self._oversized.has_reserved(worker.machine):
            self._end_oversized()

    def jobs_deleted(self, lane: Lane) -> None:
        """End the reservation for a lane whose jobs were deleted."""
        if self._oversized.lane is lane:
            self._end_oversized()

    def next_memory_wait_end(self) -> float | None:
        """Return when the first lane will have waited long enough."""
        return self._memory_waits[0][0] if self._memory_waits else None

    def end_memory_waits(self, now: float) -> None:
        """Open the lanes that have waited long enough."""
        while self._memory_waits and self._memory_waits[0][0] <= now:
            lane = heappop(self._memory_waits)[2]
            lane.timed = False
            if lane.blocked is Blocked.MEMORY and self._has_waited_enough(lane, now):
                self._backlog.open_lane(lane)

    def _close(self, lane: Lane, why: Blocked, need: int) -> None:
        if why in (Blocked.BUSY, Blocked.INCAPABLE):
            self._backlog.close(lane.requirement, why)
        else:
            self._backlog.close_lane(lane, why, need)

    def _offer(self, worker: JoinedWorker, free: int) -> None:
        for requirement in worker.kind.requirements:
            self._backlog.offer(requirement, free)

    def _placed(self, lane: Lane) -> None:
        lane.short_since = None
        if self._oversized.lane is lane:
            self._end_oversized()

    def _has_waited_enough(self, lane: Lane, now: float) -> bool:
        """Say whether the lane has been short of memory for long enough, and set its timer if not."""
        if lane.short_since is None:
            lane.short_since = now
        over = lane.short_since + self._limits.memory_wait_seconds
        if now < over and not lane.timed:
            lane.timed = True  # one entry for each lane, however often memory is short and suffices again
            heappush(self._memory_waits, (over, lane.order, lane))
        return now >= over

    def _place_oversized(self, flow: Flow, job: Job, need: int) -> Placed | None:
        never_fits = self._oversized.consider(flow, need)
        if never_fits is not None:
            return Placed(flow, job, never_fits.worker, need, never_fits.detail)
        return self._oversized_job()

    def _oversized_job(self) -> Placed | None:
        lane = self._oversized.lane
        flow = lane.first() if lane is not None else None
        if flow is None:
            return None
        job, need = flow.next_job()
        worker = self._oversized.worker_for(flow, need)
        if worker is None:
            return None
        self._end_oversized()  # the lane has waited: its next job need not wait again
        return Placed(flow, job, worker, need)

    def _end_oversized(self) -> None:
        """End the reservation, and open the lanes that waited for one or that could use the machine."""
        machine = self._oversized.release_machine()
        for lane in list(self._backlog.short_of_memory.values()):
            self._backlog.open_lane(lane)
        for worker in machine.workers.values() if machine is not None else ():
            self._offer(worker, worker.machine.free)

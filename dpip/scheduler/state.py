"""The scheduler's rules: ``handle(event, now)`` returns instructions. It does no I/O and reads no clock.

A job is waiting (in the backlog), held, or ended (and forgotten here). A held job is being leased, is leased
to a worker, or is being released. It waits again only when the datastore has confirmed the release, so that
there are never two leases of one job. ``now`` is seconds on any clock that never goes back.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush
from typing import Any

from dpip.model import Eta, Lease, LeasedJob, Outcome, Reason
from dpip.scheduler import events as e
from dpip.scheduler.backlog import Backlog
from dpip.scheduler.fair_queue import Charges
from dpip.scheduler.held_jobs import HeldJobs
from dpip.scheduler.instructions import Drop, Instruction, WakeAt
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.memory import Loan
from dpip.scheduler.outlook import Outlook
from dpip.scheduler.placement import Placement
from dpip.scheduler.reasons import reasons_of_held
from dpip.scheduler.roster import Roster
from dpip.scheduler.stealing import fetched_too_early, worth_moving
from dpip.scheduler.workers import HeldJob, JoinedWorker
from dpip.scheduler.workloads import KnownWorkloads, WantsGpu


class State:
    def __init__(self, wants_gpu: WantsGpu, limits: SchedulerLimits) -> None:
        self._limits = limits
        self._roster = Roster(limits)
        self._workloads = KnownWorkloads(self._roster, wants_gpu, limits.idle_workloads)
        self._backlog = Backlog()
        self._placement = Placement(self._backlog, self._roster, limits)
        self._outlook = Outlook(self._workloads, self._roster)
        self._out: list[Instruction] = []
        self._held_jobs = HeldJobs(
            self._roster,
            self._workloads,
            self._backlog,
            self._placement,
            limits,
            self._out,
            lambda: self._now,
        )
        self._resting: list[tuple[float, int, JoinedWorker]] = []  # a heap by the end of the rest
        self._expiry: float | None = None  # when to look for overdue attempts; none is overdue before
        self._balance: float | None = None  # when to look for jobs to be moved
        self._wake: float | None = None  # when the next Tick is due
        self._now = 0.0
        self._handlers: dict[type, Callable[[Any], None]] = {
            e.WorkloadOpened: lambda event: self._workloads.open(event.workload),
            e.WorkloadDropped: self._workload_dropped,
            e.JobsWaiting: self._jobs_waiting,
            e.WorkerJoined: self._worker_joined,
            e.WorkerReported: self._worker_reported,
            e.WorkerLeaving: self._worker_leaving,
            e.WorkerLost: self._worker_lost,
            e.LeaseGranted: self._lease_granted,
            e.LeaseRefused: lambda event: self._held_jobs.refused(event.job),
            e.DispatchFailed: self._dispatch_failed,
            e.JobEnded: self._job_ended,
            e.ResultCommitted: self._result_committed,
            e.Released: lambda event: self._held_jobs.released(event.lease),
            e.MemoryReturned: self._memory_returned,
            e.Tick: self._tick,
            e.Decide: self._decide,
        }

    def handle(self, event: e.Event, now: float) -> list[Instruction]:
        """Take note of the event and return instructions. Only ``Decide`` places jobs."""
        self._now = now
        self._handlers[type(event)](event)
        out = self._out[:]
        self._out.clear()
        return out

    # Questions

    def knows(self, workload_id: str) -> bool:
        return self._workloads.get(workload_id) is not None

    def worth_deciding(self) -> bool:
        """Say whether ``Decide`` may place a job."""
        return self._placement.worthwhile()

    def leased(self, session: str, lease: Lease) -> LeasedJob | None:
        held = self._held_jobs.find(session, lease)
        return held.leased if held is not None else None

    def held_by(self, session: str) -> list[LeasedJob]:
        worker = self._roster.workers.get(session)
        held = [] if worker is None else worker.held.values()
        return [one.leased for one in held if one.leased is not None]

    def holds(self, session: str, image_id: str) -> LeasedJob | None:
        held = self._held_jobs.find_image(session, image_id)
        return held.leased if held is not None else None

    def running_jobs(self, workload_id: str) -> int:
        """Count the workload's jobs that workers hold, or are about to."""
        workload = self._workloads.get(workload_id)
        return len(workload.held) if workload is not None else 0

    def eta(self, workload_id: str, now: float) -> Eta | None:
        """Return when the workload's jobs will have ended; None when that is unknown."""
        workload = self._workloads.get(workload_id)
        return None if workload is None else self._outlook.eta(workload, now)

    def why(self, workload_id: str) -> list[Reason]:
        """Return why its jobs are where they are: those with workers, by ``seq``, then the waiting ones."""
        workload = self._workloads.get(workload_id)
        if workload is None:
            return []
        reasons: dict[str, int] = {}
        for flow in workload.flows.values():
            if flow.jobs:
                reason = self._placement.reason_waiting(flow)
                reasons[reason] = reasons.get(reason, 0) + len(flow.jobs)
        with_workers = sorted(reasons_of_held(workload), key=lambda reason: reason.seq or 0)
        return with_workers + [Reason(sentence, jobs) for sentence, jobs in reasons.items()]

    # Workloads

    def _jobs_waiting(self, event: e.JobsWaiting) -> None:
        workload = self._workloads.get(event.workload_id)
        if workload is None:  # deleted meanwhile
            return
        self._workloads.add(workload, event.jobs)
        for job in event.jobs:
            if job.crashes or job.losses:
                workload.charges[job.job] = Charges(job.crashes, job.losses)
        self._backlog.add(workload, event.jobs)

    def _workload_dropped(self, event: e.WorkloadDropped) -> None:
        workload = self._workloads.forget(event.workload_id)
        if workload is not None:
            workload.dropped = True
            self._backlog.discard(workload)
            self._held_jobs.drop(workload)
            for flow in workload.flows.values():
                self._placement.jobs_deleted(flow.lane)

    # Workers

    def _worker_joined(self, event: e.WorkerJoined) -> None:
        if event.session not in self._roster.workers:
            self._roster.join(event.session, event.info)

    def _worker_reported(self, event: e.WorkerReported) -> None:
        worker = self._roster.workers.get(event.session)
        if worker is not None:
            self._roster.report(worker, event.load)
            self._placement.offer(worker)

    def _worker_leaving(self, event: e.WorkerLeaving) -> None:
        worker = self._roster.workers.get(event.session)
        if worker is not None:
            self._withdraw(worker)

    def _worker_lost(self, event: e.WorkerLost) -> None:
        worker = self._roster.workers.get(event.session)
        if worker is not None:
            self._withdraw(worker)
            self._held_jobs.worker_lost(worker)
            self._roster.leave(worker)

    def _withdraw(self, worker: JoinedWorker) -> None:
        worker.leaving = True
        self._roster.reindex(worker)
        self._placement.worker_withdrawn(worker)

    def _rest(self, worker: JoinedWorker) -> None:
        """Give no job for a while to a worker that handed one back. Several in one rest count once."""
        if not worker.resting:
            limits = self._limits
            worker.rest_seconds = min(limits.max_rest_seconds, worker.rest_seconds * 2 or limits.rest_seconds)
            worker.resting = True
            heappush(self._resting, (self._now + worker.rest_seconds, worker.order, worker))
            self._roster.reindex(worker)
            self._wake_by(self._resting[0][0])

    def lend_memory(self, session: str, need: int) -> Loan | None:
        """Lend memory for work that is no job; None if the worker's machine has not that much free."""
        return self._roster.lend(session, need)

    def _memory_returned(self, event: e.MemoryReturned) -> None:
        self._roster.take_back(event.loan)
        for worker in event.loan.worker.machine.workers.values():
            self._placement.offer(worker)

    # Leases

    def _lease_granted(self, event: e.LeaseGranted) -> None:
        self._held_jobs.granted(event.leased, self._now)
        if self._balance is None:
            self._balance = self._now + self._limits.balance_seconds
            self._wake_by(self._balance)
        if self._expiry is None:
            self._expiry = self._now + self._limits.lease_seconds
            self._wake_by(self._expiry)

    def _dispatch_failed(self, event: e.DispatchFailed) -> None:
        for lease in event.leases:
            held = self._held_jobs.find(event.session, lease)
            if held is not None:
                self._held_jobs.put_back(held, Outcome.RETURNED)
        worker = self._roster.workers.get(event.session)
        if worker is not None:
            worker.dispatch_failures += 1
            self._rest(worker)
            if worker.dispatch_failures == self._limits.max_dispatch_failures:
                self._out.append(Drop(worker.session, "It takes none of the jobs that are sent to it."))

    # Endings

    def _job_ended(self, event: e.JobEnded) -> None:
        worker = self._roster.workers.get(event.session)
        held = self._held_jobs.find(event.session, event.lease)
        if worker is None:
            return
        if event.outcome is Outcome.DONE:
            self._learn(worker, held, event)
        elif held is not None:
            held.measured = event.seconds or None
            self._held_jobs.ended(held, worker, event.outcome, event.code, event.detail)
            if event.outcome is Outcome.RETURNED:
                self._rest(worker)

    def _learn(self, worker: JoinedWorker, held: HeldJob | None, event: e.JobEnded) -> None:
        """Learn how long a job took, which is reported before its result is committed, or after that."""
        held = held or worker.unmeasured.pop(event.lease, None)
        if held is not None and held.measured is None:
            self._roster.learn(worker, held.workload.chain, held.size, event.seconds, self._now)
            self._held_jobs.measured(held, worker.pace, event.seconds)

    def _result_committed(self, event: e.ResultCommitted) -> None:
        worker = self._held_jobs.committed(event.lease)
        if worker is not None:
            worker.rest_seconds = 0.0
            worker.dispatch_failures = 0

    # Decisions

    def _decide(self, event: e.Decide) -> None:
        for placed in self._placement.placements(self._now, event.most):
            self._held_jobs.assign(placed)
        self._ask_for_ticks()

    # Time

    def _tick(self, event: e.Tick) -> None:
        self._wake = None
        self._end_rests()
        self._placement.end_memory_waits(self._now)
        if self._expiry is not None and self._expiry <= self._now:
            self._held_jobs.expire(self._now - self._limits.lease_seconds)
            oldest = self._held_jobs.oldest()
            self._expiry = None if oldest is None else oldest + self._limits.lease_seconds
        if self._balance is not None and self._balance <= self._now:
            self._move_jobs()
            self._balance = self._now + self._limits.balance_seconds if self._held_jobs.any() else None
        self._ask_for_ticks()

    def _move_jobs(self) -> None:
        """Take back what was fetched ahead by a wrong estimate, and move jobs from slow workers.

        A worker that is idle by that rests: it would get the job back.
        """
        for held in fetched_too_early(self._roster, self._workloads.waiting_owners(), self._now):
            self._held_jobs.put_back(held, Outcome.RETURNED)
        for held in worth_moving(self._roster, self._now):
            worker = held.worker
            self._held_jobs.move(held)
            if worker is not None and len(worker.held) < worker.info.slots:
                self._rest(worker)

    def _end_rests(self) -> None:
        while self._resting and self._resting[0][0] <= self._now:
            worker = heappop(self._resting)[2]
            worker.resting = False
            if worker.session in self._roster.workers:
                self._roster.reindex(worker)
                self._placement.offer(worker)

    def _ask_for_ticks(self) -> None:
        rest = self._resting[0][0] if self._resting else None
        for time in (rest, self._placement.next_memory_wait_end(), self._balance, self._expiry):
            self._wake_by(time)

    def _wake_by(self, time: float | None) -> None:
        """Ask for a tick at that time, unless an earlier one is pending: it does no harm."""
        if time is not None and (self._wake is None or time < self._wake):
            self._wake = time
            self._out.append(WakeAt(time))

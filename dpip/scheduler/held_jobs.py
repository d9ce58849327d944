"""The life of a held job: leased, sent, and ended or put back, whatever happens to its worker on the way.

Every path ends in ``_take_from``, the only place that frees a slot and its memory.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from attrs import define, field

from dpip.model import Lease, LeasedJob, Outcome
from dpip.scheduler.backlog import Backlog
from dpip.scheduler.costs import Pace
from dpip.scheduler.fair_queue import Charges, WorkloadQueue
from dpip.scheduler.instructions import Assign, Cancel, Dispatch, Fail, Instruction, Release
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.oversized import CODE
from dpip.scheduler.placement import Placed, Placement
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import HeldJob, JoinedWorker, Phase
from dpip.scheduler.workloads import KnownWorkloads


@define(eq=False, repr=False)
class HeldJobs:
    """All held jobs. Instructions are appended to ``out``."""

    _roster: Roster
    _workloads: KnownWorkloads
    _backlog: Backlog
    _placement: Placement
    _limits: SchedulerLimits
    _out: list[Instruction]
    _now: Callable[[], float]
    _held: dict[int, HeldJob] = field(factory=dict, init=False)  # by number; leased ones as they were leased
    _by_image: dict[str, HeldJob] = field(factory=dict, init=False)  # leased, by the original's id

    def find(self, session: str, lease: Lease) -> HeldJob | None:
        """Return the job if this session holds it by this very lease."""
        held = self._held.get(lease.job)
        return held if held is not None and held.is_leased_to(session) and held.is_by(lease) else None

    def find_image(self, session: str, image_id: str) -> HeldJob | None:
        """Return the job of this session whose original is this image."""
        held = self._by_image.get(image_id)
        return held if held is not None and held.is_leased_to(session) else None

    # Leasing

    def assign(self, placed: Placed) -> None:
        job, worker, workload = placed.job, placed.worker, placed.flow.workload
        if job.number in self._held:  # there were two events that it waits
            self._backlog.take_job(placed.flow, 0.0)
            self._workloads.finish(workload, job, self._now())
            return
        held = self._held[job.number] = HeldJob(job, workload, placed.need, failure=placed.failure)
        if placed.failure is None:
            held.cost = worker.cost(workload, held.size)
        self._backlog.take_job(placed.flow, held.cost)
        if placed.failure is None:
            held.worker, held.ahead = worker, len(worker.held)
            workload.held[job.number] = held
            self._roster.add_job(worker, held)
        self._out.append(Assign(worker.session, worker.info.name, job.number))

    def granted(self, leased: LeasedJob, now: float) -> None:
        held = self._held.get(leased.lease.job)
        if held is None or held.phase is not Phase.LEASING:  # its workload was deleted meanwhile
            self._out.append(Release(leased.lease, Outcome.RETURNED))
            return
        held.leased = leased
        if held.failure is not None:
            self._fail(held, CODE, held.failure)
        elif held.worker is None or held.worker.leaving:
            self.put_back(held, Outcome.RETURNED)
        else:
            self._send(held.worker, held, leased, now)

    def refused(self, job: int) -> None:
        held = self._held.get(job)
        if held is not None and held.phase is Phase.LEASING:
            self._end(held)

    def released(self, lease: Lease) -> None:
        held = self._held.get(lease.job)
        if held is not None and held.phase is Phase.RELEASING and held.is_by(lease):
            del self._held[lease.job]
            if not held.workload.dropped:
                self._backlog.put_back(held.workload, held.job)

    def _send(self, worker: JoinedWorker, held: HeldJob, leased: LeasedJob, now: float) -> None:
        held.phase = Phase.LEASED
        held.since = now
        self._held[held.job.number] = self._held.pop(held.job.number)  # to the end: in the order of leasing
        self._by_image[leased.original.id] = held
        worker.begin_jobs(now)
        self._out.append(Dispatch(worker.session, leased))

    # Endings

    def measured(self, held: HeldJob, pace: Pace, seconds: float) -> None:
        """Take note how long its worker says that it was computed; its result may be committed already."""
        held.measured = seconds
        held.workload.own_cost.learn(pace.own_cost(held.size, seconds))
        if held.worker is None:
            self._settle(held, min(seconds, held.most))

    def ended(self, held: HeldJob, worker: JoinedWorker, outcome: Outcome, code: str, detail: str) -> None:
        """End an attempt that the worker reports as ended without a result."""
        self._take_from(worker, held)
        if outcome is Outcome.FAILED:
            self._fail(held, code, detail)
        elif outcome is Outcome.CRASHED:
            self._crashed(held, code, detail)
        elif outcome is Outcome.LOST:
            self._lost(held)
        else:
            self.put_back(held, Outcome.RETURNED)

    def committed(self, lease: Lease) -> JoinedWorker | None:
        """End a job that is done. Returns the worker that did it, if it was still leased to one."""
        held = self._held.get(lease.job)
        if held is None or not held.is_by(lease):
            return None
        worker = held.worker
        if worker is not None and held.measured is None:
            worker.expect_measure(lease, held)
        self._end(held)
        return worker

    def put_back(self, held: HeldJob, outcome: Outcome) -> None:
        """Release the job, so that it waits again. A worker that has it is asked to stop."""
        assert held.leased is not None
        if held.worker is not None:
            self._abandon(held.worker, held)
        held.phase = Phase.RELEASING
        self._out.append(Release(held.leased.lease, outcome))

    def move(self, held: HeldJob) -> None:
        """Take the job from a slow worker, so that an idle one gets it."""
        held.workload.moved.add(held.job.number)
        self.put_back(held, Outcome.RETURNED)

    def drop(self, workload: WorkloadQueue) -> None:
        """Drop the held jobs of a deleted workload."""
        for held in list(workload.held.values()):
            if held.worker is not None:
                self._abandon(held.worker, held)
            del self._held[held.job.number]

    def worker_lost(self, worker: JoinedWorker) -> None:
        """Put a lost worker's jobs back, and charge those it was computing.

        Jobs that are being leased are put back when the lease is granted.
        """
        running = worker.likely_running()
        for held in list(worker.held.values()):
            leased = held.phase is Phase.LEASED
            self._take_from(worker, held, still_computing=leased)
            if held in running:
                self._lost(held)
            elif leased:
                self.put_back(held, Outcome.RETURNED)

    def expire(self, before: float) -> None:
        """Count attempts that were leased before that time as crashed."""
        for held in list(self._leased_before(before)):
            assert held.worker is not None
            self._abandon(held.worker, held)
            self._crashed(held, "timeout", "The worker did not finish this picture in time.")

    def any(self) -> bool:
        return bool(self._held)

    def oldest(self) -> float | None:
        """Return when the oldest attempt was leased; None if there is none."""
        return next((held.since for held in self._held.values() if held.phase is Phase.LEASED), None)

    def _leased_before(self, before: float) -> Iterator[HeldJob]:
        for held in self._held.values():
            if held.phase is Phase.LEASED:
                if held.since > before:
                    return
                yield held

    def _crashed(self, held: HeldJob, code: str, detail: str) -> None:
        if self._charge(held, crashes=1).crashes < self._limits.max_crashes:
            self.put_back(held, Outcome.CRASHED)
        else:
            self._fail(held, code or "crashed", detail or "The filter's process died at every attempt.")

    def _lost(self, held: HeldJob) -> None:
        losses = self._charge(held, losses=1).losses
        if losses < self._limits.max_losses:
            self.put_back(held, Outcome.LOST)
        else:
            detail = f"{losses} workers were lost while they filtered this picture."
            self._fail(held, "worker-lost-too-often", detail)

    def _charge(self, held: HeldJob, crashes: int = 0, losses: int = 0) -> Charges:
        charges = held.workload.charges
        had = charges.get(held.job.number, Charges())
        now = charges[held.job.number] = Charges(had.crashes + crashes, had.losses + losses)
        return now

    def _fail(self, held: HeldJob, code: str, detail: str) -> None:
        assert held.leased is not None
        self._out.append(Fail(held.leased.lease, code, detail))
        self._end(held)

    def _end(self, held: HeldJob) -> None:
        """Forget a job that is done or has failed for good."""
        if held.worker is not None:
            self._take_from(held.worker, held)
        del self._held[held.job.number]
        held.workload.charges.pop(held.job.number, None)
        held.workload.moved.discard(held.job.number)
        self._workloads.finish(held.workload, held.job, self._now())

    def _abandon(self, worker: JoinedWorker, held: HeldJob) -> None:
        sent = held.phase is Phase.LEASED
        if sent and held.leased is not None:
            self._out.append(Cancel(worker.session, held.leased.lease))
        self._take_from(worker, held, still_computing=sent)

    def _take_from(self, worker: JoinedWorker, held: HeldJob, still_computing: bool = False) -> None:
        now = self._now()
        held.worker = None
        held.most = now - held.since if held.phase is Phase.LEASED else 0.0
        computed = now - held.begun if held.begun is not None else 0.0
        del held.workload.held[held.job.number]
        if held.leased is not None:
            self._by_image.pop(held.leased.original.id, None)
        self._roster.remove_job(worker, held, still_computing)
        worker.begin_jobs(now)
        self._settle(held, computed if held.measured is None else min(held.measured, held.most))
        self._placement.offer(worker)

    def _settle(self, held: HeldJob, seconds: float) -> None:
        """Count for its owner what the attempt took, instead of what was counted before."""
        self._backlog.correct(held.workload, seconds - held.cost)
        held.cost = seconds

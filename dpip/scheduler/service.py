"""The scheduler as a service: it gives events to the state, and has its instructions carried out.

A burst of events costs one pass: instructions are collected and carried out together at the reactor's next
turn. Jobs are placed in the same pass, a bounded number at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from dpip.interfaces import IDatastore, IScheduler, IWorkerLink
from dpip.model import Eta, Lease, LeasedJob, Load, Outcome, Reason, Step, WaitingJob, WorkerInfo, Workload
from dpip.scheduler import events as e
from dpip.scheduler.backfill import Backfill
from dpip.scheduler.datastore_writes import Persistence
from dpip.scheduler.dispatcher import Dispatcher
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.state import State
from dpip.scheduler.workloads import WantsGpu

_PASS_JOBS = 64  # placed in one pass: about 2 ms
_BATCHES = 4  # being leased at once: enough to keep the datastore's group commit busy


def _no_gpu(steps: Sequence[Step]) -> bool:
    return False


@implementer(IScheduler)
class Scheduler(Service):
    """Schedules the jobs of a datastore that has been recovered. Workers may join before it has started.

    ``wants_gpu(steps)`` says if a GPU can be used. ``monotonic`` gives seconds that never jump, by default
    ``clock.seconds``.
    """

    name = "scheduler"

    def __init__(
        self,
        clock: IReactorTime,
        datastore: IDatastore,
        new_nonce: Callable[[], str],
        wants_gpu: WantsGpu = _no_gpu,
        limits: SchedulerLimits | None = None,
        monotonic: Callable[[], float] | None = None,
        log: Logger | None = None,
    ) -> None:
        self._clock = clock
        self._now = monotonic or clock.seconds
        self._state = State(wants_gpu, limits or SchedulerLimits())
        self._persistence = Persistence(clock, log or Logger())
        self._dispatcher = Dispatcher(
            clock, datastore, new_nonce, self._persistence, self._handle_event, self._wake_at
        )
        self._backfill = Backfill(datastore, self._persistence, self._state.knows, self._handle_event)
        self._pass: IDelayedCall | None = None
        self._wake: IDelayedCall | None = None

    def startService(self) -> None:
        super().startService()
        self._backfill.start(self._soon)
        self._soon()

    def stopService(self) -> Deferred[None]:
        """Stop. Fires when no call of the datastore is under way; leases are left for its recovery."""
        super().stopService()
        for call in (self._pass, self._wake):
            if call is not None and call.active():
                call.cancel()
        return self._persistence.stop()

    @property
    def ready(self) -> bool:
        """Whether all jobs that waited at the start are known."""
        return self._backfill.done

    # Events

    def workload_opened(self, workload: Workload) -> None:
        self._handle_event(e.WorkloadOpened(workload))

    def workload_dropped(self, workload_id: str) -> None:
        self._backfill.forget(workload_id)
        self._handle_event(e.WorkloadDropped(workload_id))

    def jobs_waiting(self, workload_id: str, jobs: Sequence[WaitingJob]) -> None:
        self._backfill.jobs_waiting(workload_id, jobs)

    def worker_joined(self, session: str, info: WorkerInfo, link: IWorkerLink) -> None:
        self._dispatcher.links[session] = link
        self._handle_event(e.WorkerJoined(session, info))

    def worker_reported(self, session: str, load: Load) -> None:
        self._handle_event(e.WorkerReported(session, load))

    def worker_leaving(self, session: str) -> None:
        self._handle_event(e.WorkerLeaving(session))

    def worker_lost(self, session: str) -> None:
        self._dispatcher.links.pop(session, None)
        self._handle_event(e.WorkerLost(session))

    def job_ended(
        self, session: str, lease: Lease, outcome: Outcome, code: str, detail: str, seconds: float
    ) -> None:
        self._handle_event(e.JobEnded(session, lease, outcome, code, detail, seconds))

    def result_committed(self, lease: Lease) -> None:
        self._handle_event(e.ResultCommitted(lease))

    def lend_memory(self, session: str, need: int) -> Callable[[], object] | None:
        loan = self._state.lend_memory(session, need)
        return None if loan is None else lambda: self._handle_event(e.MemoryReturned(loan))

    # Questions

    def leased(self, session: str, lease: Lease) -> LeasedJob | None:
        return self._state.leased(session, lease)

    def held_by(self, session: str) -> Sequence[LeasedJob]:
        return self._state.held_by(session)

    def holds(self, session: str, image_id: str) -> LeasedJob | None:
        return self._state.holds(session, image_id)

    def running_jobs(self, workload_id: str) -> int:
        return self._state.running_jobs(workload_id)

    def eta(self, workload_id: str) -> Eta | None:
        return self._state.eta(workload_id, self._now())

    def why(self, workload_id: str) -> Sequence[Reason]:
        return self._state.why(workload_id)

    # Passes

    def _handle_event(self, event: e.Event) -> None:
        instructions = self._state.handle(event, self._now())
        self._dispatcher.collect(instructions)
        if self._pass is None and (instructions or self._may_decide()):
            self._soon()

    def _soon(self) -> None:
        if self.running and self._pass is None:
            self._pass = self._clock.callLater(0, self._run_pass)

    def _run_pass(self) -> None:
        self._pass = None
        if self._may_decide():
            self._dispatcher.collect(self._state.handle(e.Decide(_PASS_JOBS), self._now()))
        self._dispatcher.flush()
        if self._may_decide():
            self._soon()

    def _may_decide(self) -> bool:
        return self.ready and self._dispatcher.leasing < _BATCHES and self._state.worth_deciding()

    def _wake_at(self, time: float) -> None:
        """Have a ``Tick`` at this time, which is earlier than that of any pending one."""
        if self._wake is not None and self._wake.active():
            self._wake.cancel()
        if self.running:
            self._wake = self._clock.callLater(max(0.0, time - self._now()), self._handle_event, e.Tick())

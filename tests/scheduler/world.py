"""The state, with a datastore and workers around it that do what a test tells them."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from attrs import define, field

from dpip.model import Lease, LeasedJob, Load, Outcome, Step, WaitingJob, WorkerInfo, Workload
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Assign, Cancel, Dispatch, Drop, Fail, Instruction, Release, WakeAt
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.state import State
from tests.scheduler.fakes import FakeDatastore


def _no_gpu(steps: Sequence[Step]) -> bool:
    return False


@define
class World:
    """``work_off`` lets the datastore answer, in order; until then its operations wait in ``pending``."""

    limits: SchedulerLimits = field(factory=SchedulerLimits)
    wants_gpu: Callable[[Sequence[Step]], bool] = _no_gpu
    now: float = 0.0
    datastore: FakeDatastore = field(factory=FakeDatastore)
    pending: deque[Instruction] = field(factory=deque)
    sent: dict[str, dict[int, LeasedJob]] = field(
        factory=dict
    )  # by session: what each worker believes it has
    log: list[Instruction] = field(factory=list)
    wake: float | None = None
    nonces: int = 0
    state: State = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.state = State(self.wants_gpu, self.limits)

    # Facts

    def tell(self, event: e.Event) -> list[Instruction]:
        instructions = self.state.handle(event, self.now)
        self.log.extend(instructions)
        for instruction in instructions:
            self._obey(instruction)
        return instructions

    def open(self, workload: Workload) -> None:
        self.datastore.add(workload, ())
        self.tell(e.WorkloadOpened(workload))

    def add(self, workload: Workload, jobs: Sequence[WaitingJob]) -> None:
        """Originals are committed and told."""
        self.datastore.add(workload, jobs)
        self.tell(e.WorkloadOpened(workload))
        self.tell(e.JobsWaiting(workload.id, jobs))

    def delete(self, workload_id: str) -> None:
        del self.datastore.workloads_[workload_id]
        rows = self.datastore.rows
        for number in [n for n, row in rows.items() if row.workload_id == workload_id]:
            del rows[number]
        self.tell(e.WorkloadDropped(workload_id))

    def join(self, session: str, info: WorkerInfo, load: Load | None) -> None:
        self.sent[session] = {}
        self.tell(e.WorkerJoined(session, info))
        if load is not None:
            self.tell(e.WorkerReported(session, load))

    def lose(self, session: str) -> None:
        del self.sent[session]
        self.tell(e.WorkerLost(session))

    def end(self, session: str, lease: Lease, outcome: Outcome, seconds: float = 0.02) -> None:
        """A worker says so, whether it is true or not."""
        self.sent.get(session, {}).pop(lease.job, None)
        self.tell(e.JobEnded(session, lease, outcome, "code", "detail", seconds))

    def finish(self, session: str, lease: Lease, seconds: float = 0.02) -> bool:
        """A worker's result arrives. False: the lease was stale."""
        committed = self.datastore.finish(lease)
        if committed:
            self.tell(e.ResultCommitted(lease))
        self.end(session, lease, Outcome.DONE, seconds)
        return committed

    def advance(self, seconds: float) -> None:
        """Time passes; the tick comes when it was asked for."""
        self.now += seconds
        if self.wake is not None and self.wake <= self.now:
            self.wake = None
            self.tell(e.Tick())

    # Work

    def decide(self, most: int = 1000) -> list[Instruction]:
        return self.tell(e.Decide(most))

    def work_off(self, operations: int = 10**9) -> None:
        """The datastore carries out what was asked of it."""
        while self.pending and operations:
            operations -= 1
            self._work(self.pending.popleft())

    def settle(self) -> None:
        """Decide and lease until nothing more happens."""
        for _ in range(1000):
            if not self.decide() and not self.pending:
                return
            self.work_off(10_000)
        raise AssertionError("it never comes to rest")

    def jobs(self, session: str) -> list[int]:
        """Numbers of the jobs the worker has, in the order it got them."""
        return list(self.sent[session])

    def _obey(self, instruction: Instruction) -> None:
        if isinstance(instruction, WakeAt):
            self.wake = instruction.time
        elif isinstance(instruction, Dispatch):
            self.sent[instruction.session][instruction.leased.lease.job] = instruction.leased
        elif isinstance(instruction, Cancel):
            self.sent.get(instruction.session, {}).pop(instruction.lease.job, None)
        elif not isinstance(instruction, Drop):
            self.pending.append(instruction)

    def _work(self, instruction: Instruction) -> None:
        if isinstance(instruction, Assign):
            self.nonces += 1
            leased = self.datastore._lease(instruction.job, f"nonce-{self.nonces}")
            self.tell(e.LeaseRefused(instruction.job) if leased is None else e.LeaseGranted(leased))
        elif isinstance(instruction, Release):
            self.datastore._release(instruction.lease, instruction.outcome)
            self.tell(e.Released(instruction.lease))
        elif isinstance(instruction, Fail):
            self.datastore._end(instruction.lease, "failed", (instruction.code, instruction.detail))

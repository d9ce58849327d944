"""In-memory doubles of what the scheduler uses, and short ways to make its values."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from zope.interface import implementer

from dpip.interfaces import IWorkerLink
from dpip.model import (
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Outcome,
    Selection,
    StoredFile,
    StoredPicture,
    WaitingJob,
    WorkerInfo,
    Workload,
    WorkloadSpec,
)

T = TypeVar("T")
MIB = 2**20
GIB = 2**30
PIXELS = 1280 * 720


def workload(
    id: str = "w", owner: str = "ann", filters: Sequence[str] = ("blur",), tags: Sequence[str] = ()
) -> Workload:
    steps = tuple((name, {}) for name in filters)
    return Workload(id, owner, WorkloadSpec(id, steps, tuple(tags)), directory=id, created_at=0.0)


def waiting(number: int, pixels: int = PIXELS, crashes: int = 0, losses: int = 0) -> WaitingJob:
    return WaitingJob(number, pixels, pixels * 15, crashes, losses)


def info(
    name: str = "worker",
    slots: int = 2,
    capacity: int = 4,
    machine: str = "",
    filters: Sequence[str] = ("blur", "grayscale"),
    tags: Sequence[str] = (),
    gpu: bool = False,
) -> WorkerInfo:
    return WorkerInfo(
        name=name,
        version="1",
        machine=machine or "machine of " + name,
        slots=slots,
        capacity=capacity,
        tags=frozenset(tags),
        filters=dict.fromkeys(filters, "1"),
        has_gpu=gpu,
        fingerprint="f",
    )


def load(
    available: int = 16 * GIB,
    total: int = 0,
    own: int = 0,
    cpu: float = 0.0,
    own_cpu: float = 0.0,
    running: Sequence[int] = (),
) -> Load:
    return Load(
        cpu_percent=cpu,
        memory_total=total or max(available, 16 * GIB),
        memory_available=available,
        own_cpu_percent=own_cpu,
        own_memory=own,
        running=tuple(running),
    )


def leased(job: int, attempt: int = 1, nonce: str = "n", workload_id: str = "w") -> LeasedJob:
    picture = StoredPicture("PNG", "image/png", 1280, 720, PIXELS * 15)
    stored = StoredFile(f"{workload_id}/{job}.png", 1000, "0" * 64, picture)
    original = Image(f"original-{job}", workload_id, ImageType.ORIGINAL, job, stored, 0.0)
    return LeasedJob(Lease(job, attempt, nonce), workload_id, original, f"result-{job}", (("blur", {}),), {})


@define
class Row:
    """A job as the datastore has it."""

    workload_id: str
    job: WaitingJob
    state: str = "waiting"
    attempt: int = 0
    nonce: str = ""
    crashes: int = 0
    losses: int = 0
    failure: tuple[str, str] | None = None


@define
class FakeDatastore:
    """The scheduler's part of ``IDatastore``. ``failures`` are raised by the next writes, one each.

    With ``hold`` set, answers wait until ``answer()``.
    """

    workloads_: dict[str, Workload] = field(factory=dict)
    rows: dict[int, Row] = field(factory=dict)
    failures: list[Exception] = field(factory=list)
    calls: list[str] = field(factory=list)
    hold: bool = False
    _held: list[Callable[[], None]] = field(factory=list)

    def add(self, workload: Workload, jobs: Sequence[WaitingJob]) -> None:
        self.workloads_[workload.id] = workload
        for job in jobs:
            self.rows[job.job] = Row(workload.id, job, crashes=job.crashes, losses=job.losses)

    def workload(self, workload_id: str) -> Deferred[Workload | None]:
        return self._answer("workload", lambda: self.workloads_.get(workload_id))

    def workloads(
        self, owner: str | None, which: Selection, after: str | None, limit: int
    ) -> Deferred[Sequence[Workload]]:
        ids = sorted(self.workloads_, reverse=True)
        page = [id for id in ids if after is None or id < after][:limit]
        return self._answer("workloads", lambda: [self.workloads_[id] for id in page])

    def unfinished(self, after: int, limit: int) -> Deferred[Sequence[tuple[str, WaitingJob]]]:
        numbers = [n for n in sorted(self.rows) if n > after and self.rows[n].state == "waiting"]
        page = [(self.rows[n].workload_id, self.rows[n].job) for n in numbers[:limit]]
        return self._answer("unfinished", lambda: page)

    def lease(
        self, leases: Sequence[tuple[int, str, str]], now: float
    ) -> Deferred[Sequence[LeasedJob | None]]:
        return self._answer("lease", lambda: [self._lease(job, nonce) for job, _, nonce in leases])

    def _lease(self, job: int, nonce: str) -> LeasedJob | None:
        row = self.rows.get(job)
        if row is None or row.state != "waiting":
            return None
        row.state, row.nonce = "leased", nonce
        row.attempt += 1
        return leased(job, row.attempt, nonce, row.workload_id)

    def release(self, leases: Sequence[tuple[Lease, Outcome]], now: float) -> Deferred[None]:
        return self._answer("release", lambda: [self._release(*one) for one in leases] and None)

    def _release(self, lease: Lease, outcome: Outcome) -> None:
        row = self._current(lease)
        if row is not None:
            row.state = "waiting"
            row.crashes += outcome is Outcome.CRASHED
            row.losses += outcome is Outcome.LOST

    def fail(self, lease: Lease, code: str, detail: str, now: float) -> Deferred[bool]:
        return self._answer("fail", lambda: self._end(lease, "failed", (code, detail)))

    def finish(self, lease: Lease) -> bool:
        """What the controller does when a result arrives."""
        return self._end(lease, "done", None)

    def _end(self, lease: Lease, state: str, failure: tuple[str, str] | None) -> bool:
        row = self._current(lease)
        if row is not None:
            row.state, row.failure = state, failure
        return row is not None

    def _current(self, lease: Lease) -> Row | None:
        row = self.rows.get(lease.job)
        if row is None or row.state != "leased" or (row.attempt, row.nonce) != (lease.attempt, lease.nonce):
            return None
        return row

    def _answer(self, name: str, work: Callable[[], T]) -> Deferred[T]:
        self.calls.append(name)
        if self.failures:
            return fail(self.failures.pop(0))
        if not self.hold:
            return succeed(work())
        later: Deferred[T] = Deferred()
        self._held.append(lambda: later.callback(work()))
        return later

    def answer(self) -> None:
        """Give the answers that were held back."""
        held, self._held = self._held, []
        for one in held:
            one()


@implementer(IWorkerLink)
@define
class FakeLink:
    """Remembers what it was sent. With ``error`` set, it fails."""

    jobs: list[LeasedJob] = field(factory=list)
    messages: int = 0
    cancelled: list[Lease] = field(factory=list)
    dropped: list[str] = field(factory=list)
    error: Exception | None = None

    def run(self, jobs: Sequence[LeasedJob]) -> Deferred[None]:
        self.messages += 1
        if self.error is not None:
            return fail(self.error)
        self.jobs.extend(jobs)
        return succeed(None)

    def cancel(self, leases: Sequence[Lease]) -> None:
        self.cancelled.extend(leases)

    def drop(self, reason: str) -> None:
        self.dropped.append(reason)

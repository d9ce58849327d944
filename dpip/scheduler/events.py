"""The events that the scheduler's state handles: facts, each one frozen value."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dpip.model import Lease, LeasedJob, Load, Outcome, WaitingJob, WorkerInfo, Workload
from dpip.scheduler.memory import Loan


@frozen
class WorkloadOpened:
    """A workload exists and may get jobs. A second event for it changes nothing."""

    workload: Workload


@frozen
class WorkloadDropped:
    """A workload was deleted or cancelled: none of its jobs is to be done any more."""

    workload_id: str


@frozen
class JobsWaiting:
    """Jobs were committed, and no worker holds them."""

    workload_id: str
    jobs: Sequence[WaitingJob]


@frozen
class WorkerJoined:
    """A worker has joined. It gets jobs after its first report, which says how much memory it has."""

    session: str
    info: WorkerInfo


@frozen
class WorkerReported:
    session: str
    load: Load


@frozen
class WorkerLeaving:
    session: str


@frozen
class WorkerLost:
    session: str


@frozen
class LeaseGranted:
    """The datastore has leased a job as an ``Assign`` asked."""

    leased: LeasedJob


@frozen
class LeaseRefused:
    """The datastore says that the job is not waiting any more: deleted, or ended meanwhile."""

    job: int


@frozen
class DispatchFailed:
    """The worker did not take these jobs, or it is unknown whether it did."""

    session: str
    leases: Sequence[Lease]


@frozen
class JobEnded:
    """A worker reports the end of an attempt; ``DONE`` is a hint only, ``ResultCommitted`` is the fact."""

    session: str
    lease: Lease
    outcome: Outcome
    code: str = ""
    detail: str = ""
    seconds: float = 0.0


@frozen
class ResultCommitted:
    lease: Lease


@frozen
class Released:
    """The datastore has carried out a ``Release``: the job can be leased again."""

    lease: Lease


@frozen
class Tick:
    """The time of a ``WakeAt`` has come."""


@frozen
class MemoryReturned:
    """A loan has ended."""

    loan: Loan


@frozen
class Decide:
    """Waiting jobs are to be placed now, at most ``most`` of them."""

    most: int


Event = (
    WorkloadOpened
    | WorkloadDropped
    | JobsWaiting
    | WorkerJoined
    | WorkerReported
    | WorkerLeaving
    | WorkerLost
    | LeaseGranted
    | LeaseRefused
    | DispatchFailed
    | JobEnded
    | ResultCommitted
    | Released
    | MemoryReturned
    | Tick
    | Decide
)

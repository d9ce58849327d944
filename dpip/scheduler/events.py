"""What the scheduler is told: facts, each one frozen value."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from dpip.model import Lease, LeasedJob, Load, Outcome, WaitingJob, WorkerInfo, Workload


@frozen
class WorkloadOpened:
    """A workload exists and may get jobs. Told again, it changes nothing."""

    workload: Workload


@frozen
class WorkloadDropped:
    """None of its jobs is to be done any more: it was deleted, or cancelled."""

    workload_id: str


@frozen
class JobsWaiting:
    """Committed jobs that nobody holds."""

    workload_id: str
    jobs: Sequence[WaitingJob]


@frozen
class WorkerJoined:
    """It gets its first job after its first report: until then its memory is unknown."""

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
    """The worker did not take these jobs, or we cannot know that it did."""

    session: str
    leases: Sequence[Lease]


@frozen
class JobEnded:
    """A worker's word on one attempt; ``DONE`` is a hint only, ``ResultCommitted`` is the fact."""

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
    """A time asked for by ``WakeAt`` has come."""


@frozen
class Decide:
    """Hand out waiting jobs now, ``most`` of them at most."""

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
    | Tick
    | Decide
)

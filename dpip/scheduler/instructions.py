"""The instructions that the scheduler's state returns, each one frozen value, for the dispatcher."""

from __future__ import annotations

from attrs import frozen

from dpip.model import Lease, LeasedJob, Outcome


@frozen
class Assign:
    """Lease the job to this worker in the datastore; answered by ``LeaseGranted`` or ``LeaseRefused``."""

    session: str
    worker: str  # its name, for the record
    job: int


@frozen
class Dispatch:
    """Send the leased job to its worker; answered by ``DispatchFailed`` if that fails."""

    session: str
    leased: LeasedJob


@frozen
class Release:
    """Have the job wait again in the datastore; answered by ``Released``."""

    lease: Lease
    outcome: Outcome


@frozen
class Fail:
    """Record that the job has failed for good."""

    lease: Lease
    code: str
    detail: str


@frozen
class Cancel:
    """Have the worker stop this attempt: its result is not wanted any more."""

    session: str
    lease: Lease


@frozen
class Drop:
    """Close the connection to this worker."""

    session: str
    reason: str


@frozen
class WakeAt:
    """Handle a ``Tick`` at this time of the scheduler's own clock. It replaces a later ``WakeAt``."""

    time: float


Instruction = Assign | Dispatch | Release | Fail | Cancel | Drop | WakeAt

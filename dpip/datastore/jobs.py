"""Jobs wait, are leased, and are done or have failed. Every end is fenced by job, attempt and nonce.

A finished job never changes: each statement that changes one demands that it is leased by the very lease that
ends it, besides the look at it beforehand.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    bindparam,
    exists,
    insert,
    literal,
    null,
    select,
    true,
    update,
)

from dpip.datastore import dialects
from dpip.datastore.bulk import as_json, execute, fetch, fetch_columns, given
from dpip.datastore.rows import FILE, IMAGE, image_of, micros, spec_of
from dpip.datastore.schema import LEASED, WAITING, attempts, images, jobs, users, workers, workloads
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError
from dpip.model import JobState, Lease, LeasedJob, Outcome, WaitingJob, WorkloadSpec

# Leases


@frozen
class LeaseOperation:
    """Leases that are wanted, as ``(job, worker, nonce)``."""

    wanted: Sequence[tuple[int, str, str]]
    now: float


# States are compared with the rows' own and never with a parameter: SQLite would plan the statement anew for
# each value of it, because of the partial indexes, and that takes longer than the statement.
_wanted = given("job", "state")
_WAITING = as_json(
    select(jobs.c.id, jobs.c.attempt, jobs.c.result, jobs.c.workload_id, *IMAGE, *FILE)
    .join_from(_wanted, jobs, jobs.c.id == _wanted.c.job)
    .join(images, images.c.id == jobs.c.original_id)
    .join(workloads, workloads.c.id == jobs.c.workload_id)
    .where(jobs.c.state == _wanted.c.state, workloads.c.deleted.is_(None))
)
_workload = given("id")
_SPECS = as_json(
    select(workloads.c.id, workloads.c.spec).join_from(_workload, workloads, workloads.c.id == _workload.c.id)
)
_leased = given("job", "waiting", "state", "attempt", "nonce", "worker", "leased")
_LEASE = (
    update(jobs)
    .where(jobs.c.id == _leased.c.job, jobs.c.state == _leased.c.waiting)
    .values(
        state=_leased.c.state,
        attempt=_leased.c.attempt,
        nonce=_leased.c.nonce,
        worker=_leased.c.worker,
        leased=_leased.c.leased,
    )
)


def _lease(
    connection: Connection, leasings: Sequence[LeaseOperation]
) -> Sequence[Sequence[LeasedJob | None] | DpipError]:
    numbers = [(job, JobState.WAITING) for leasing in leasings for job, _, _ in leasing.wanted]
    waiting = {number: facts for number, *facts in fetch(connection, _WAITING, numbers)}
    of_workloads = {facts[2] for facts in waiting.values()}
    specs = {row: spec_of(spec) for row, spec in fetch(connection, _SPECS, [[row] for row in of_workloads])}
    rows: list[tuple[Any, ...]] = []
    answers: list[list[LeasedJob | None]] = []
    for leasing in leasings:
        answers.append([])
        for number, worker, nonce in leasing.wanted:
            facts = waiting.pop(number, None)  # whoever asks for it a second time gets None
            job = None if facts is None else _leased_job(number, nonce, facts, specs)
            answers[-1].append(job)
            if job is not None:
                lease = job.lease.attempt, nonce, worker, micros(leasing.now)
                rows.append((number, JobState.WAITING, JobState.LEASED, *lease))
    check_all_changed(execute(connection, _LEASE, rows), rows)
    return answers


def _leased_job(number: int, nonce: str, facts: list[Any], specs: dict[int, WorkloadSpec]) -> LeasedJob:
    attempt, result_id, workload, *image = facts
    original, spec = image_of(image), specs[workload]
    lease = Lease(number, attempt + 1, nonce)
    return LeasedJob(lease, original.workload_id, original, result_id, spec.steps, spec.output)


LEASE: OperationKind[LeaseOperation, Sequence[LeasedJob | None]] = OperationKind(
    _lease, lambda leasing: (job for job, _, _ in leasing.wanted), sheds=False
)


def was_leased(connection: Connection, lease: Lease, worker: str) -> bool:
    known = connection.execute(
        select(jobs.c.attempt, jobs.c.nonce, jobs.c.worker).where(jobs.c.id == lease.job)
    ).one_or_none()
    if known is None:
        return lease.job <= (connection.scalar(_LAST_NUMBER) or 0)
    ended = (attempts.c.job_id == lease.job) & (attempts.c.attempt == lease.attempt)
    ended &= (attempts.c.nonce == lease.nonce) & (attempts.c.worker == worker)
    mine = tuple(known) == (lease.attempt, lease.nonce, worker)
    return mine or bool(connection.scalar(select(exists().where(ended))))


_LAST_NUMBER = select(dialects.LastJob())


# Ends of attempts


@frozen
class LeasedRow:
    """What the end of an attempt needs to know of its job's row."""

    job: int
    attempt: int
    nonce: str | None
    state: str
    result: str
    seq: int
    worker: str | None
    leased: int | None
    workload: int
    workload_id: str
    reserved: int
    owner: int
    used: int
    quota: int | None

    def is_leased_by(self, lease: Lease) -> bool:
        return self.state == JobState.LEASED and self.attempt == lease.attempt and self.nonce == lease.nonce


@frozen
class AttemptEnd:
    """How an attempt ends: the job's next state, and what is recorded."""

    held: LeasedRow
    state: JobState
    outcome: Outcome
    now: float
    code: str | None = None
    detail: str | None = None


_asked = given("job")
_HELD = as_json(
    select(jobs.c.id, jobs.c.attempt, jobs.c.nonce, jobs.c.state, jobs.c.result, jobs.c.seq, jobs.c.worker)
    .add_columns(jobs.c.leased, jobs.c.workload_id, workloads.c.public, jobs.c.reserved)
    .add_columns(users.c.id, users.c.used, users.c.quota)
    .join_from(_asked, jobs, jobs.c.id == _asked.c.job)
    .join(workloads, workloads.c.id == jobs.c.workload_id)
    .join(users, users.c.id == workloads.c.owner_id)
    .where(workloads.c.deleted.is_(None))
)


def rows_of(connection: Connection, numbers: Iterable[int]) -> dict[int, LeasedRow]:
    """The jobs' rows by number, without those of deleted workloads."""
    return {row[0]: LeasedRow(*row) for row in fetch(connection, _HELD, [[number] for number in numbers])}


_ended = given("job", "attempt", "nonce", "held", "state", "code", "detail", "crashes", "losses")
_END = (
    update(jobs)
    .where(
        jobs.c.id == _ended.c.job,
        jobs.c.attempt == _ended.c.attempt,
        jobs.c.nonce == _ended.c.nonce,
        jobs.c.state == _ended.c.held,
    )
    .values(
        state=_ended.c.state,
        code=_ended.c.code,
        detail=_ended.c.detail,
        crashes=jobs.c.crashes + _ended.c.crashes,
        losses=jobs.c.losses + _ended.c.losses,
        nonce=null(),
        worker=null(),
        leased=null(),
    )
)
_tried = given("job_id", "attempt", "nonce", "worker", "started", "ended", "outcome")
_TRIED = insert(attempts).from_select(
    [*(column.name for column in _tried.c), "fingerprint"],
    select(_tried, workers.c.fingerprint).join_from(
        _tried, workers, workers.c.name == _tried.c.worker, isouter=True
    ),
)


def end_attempts(connection: Connection, endings: Sequence[AttemptEnd]) -> None:
    """Take each job from leased to the state that its ending says. The callers have checked the leases; the
    statement demands them once more."""
    rows = [
        (
            ending.held.job,
            ending.held.attempt,
            ending.held.nonce,
            JobState.LEASED,
            ending.state,
            ending.code,
            ending.detail,
            int(ending.outcome is Outcome.CRASHED),
            int(ending.outcome is Outcome.LOST),
        )
        for ending in endings
    ]
    check_all_changed(execute(connection, _END, rows), rows)
    execute(
        connection,
        _TRIED,
        [
            (held.job, held.attempt, held.nonce, held.worker, held.leased, micros(ending.now), ending.outcome)
            for ending in endings
            for held in [ending.held]
        ],
    )


def check_all_changed(changed: int, rows: Sequence[Any]) -> None:
    """Raise RuntimeError, so that nothing is committed, when a fenced statement has changed fewer rows than
    were checked: that is a bug."""
    if changed != len(rows):
        raise RuntimeError(f"{changed} rows changed where {len(rows)} were expected")


@frozen
class ReleaseOperation:
    leases: Sequence[tuple[Lease, Outcome]]
    now: float


def _release(connection: Connection, releases: Sequence[ReleaseOperation]) -> Sequence[None]:
    known = rows_of(connection, {lease.job for release in releases for lease, _ in release.leases})
    endings = {
        lease.job: AttemptEnd(known[lease.job], JobState.WAITING, outcome, release.now)
        for release in releases
        for lease, outcome in release.leases
        if lease.job in known and known[lease.job].is_leased_by(lease)
    }
    end_attempts(connection, list(endings.values()))
    return [None] * len(releases)


RELEASE: OperationKind[ReleaseOperation, None] = OperationKind(
    _release, lambda release: (lease.job for lease, _ in release.leases), sheds=False
)


# At start


def attempts_given_up(which: ColumnElement[bool]) -> Insert:
    """The statement that puts the attempts under way at these jobs on record, as handed back at ``now``."""
    return insert(attempts).from_select(
        ["job_id", "attempt", "nonce", "worker", "fingerprint", "started", "ended", "outcome"],
        select(jobs.c.id, jobs.c.attempt, jobs.c.nonce, jobs.c.worker, workers.c.fingerprint, jobs.c.leased)
        .add_columns(bindparam("now"), literal(Outcome.RETURNED.value))
        .join_from(jobs, workers, workers.c.name == jobs.c.worker, isouter=True)
        .where(LEASED, which),
    )


_RECOVER_ATTEMPTS = attempts_given_up(true())
_RECOVER_JOBS = (
    update(jobs).where(LEASED).values(state=JobState.WAITING, nonce=null(), worker=null(), leased=null())
)


def recover(connection: Connection, now: float) -> None:
    connection.execute(_RECOVER_ATTEMPTS, {"now": micros(now)})
    connection.execute(_RECOVER_JOBS)
    connection.execute(update(workers).where(workers.c.joined).values(joined=False))


_UNFINISHED = as_json(
    select(jobs.c.workload_id, jobs.c.id, jobs.c.pixels, jobs.c.memory, jobs.c.crashes, jobs.c.losses)
    .join_from(jobs, workloads, workloads.c.id == jobs.c.workload_id)
    .where(WAITING, jobs.c.id > bindparam("after"), workloads.c.deleted.is_(None))
    .order_by(jobs.c.id)
    .limit(bindparam("limit"))
)
_named = given("id")
_PUBLIC = as_json(
    select(workloads.c.id, workloads.c.public).join_from(_named, workloads, workloads.c.id == _named.c.id)
)


def unfinished(connection: Connection, after: int, limit: int) -> Sequence[tuple[str, WaitingJob]]:
    """Only waiting jobs are read: after ``recover`` all unfinished ones wait."""
    of_workload, *facts = fetch_columns(connection, _UNFINISHED, after=after, limit=limit)
    public = dict(fetch(connection, _PUBLIC, [[number] for number in set(of_workload)]))
    return list(zip(map(public.__getitem__, of_workload), map(WaitingJob, *facts), strict=True))

"""The ends of jobs: a result or a recorded failure, with all the counters that show it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from attrs import define, frozen
from sqlalchemy import Connection, case, update

from dpip.datastore import images, jobs
from dpip.datastore.bulk import execute, given, text
from dpip.datastore.jobs import AttemptEnd, LeasedRow
from dpip.datastore.rows import micros, seconds
from dpip.datastore.schema import users, workers, workloads
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError, QuotaExceeded, StaleLease
from dpip.model import Image, ImageType, JobState, Lease, Outcome, StoredFile


@frozen
class FinishOperation:
    lease: Lease
    worker: str
    file: StoredFile
    now: float


def _finish(
    connection: Connection, finishes: Sequence[FinishOperation]
) -> Sequence[tuple[Image, bool] | DpipError]:
    known = jobs.rows_of(connection, [finish.lease.job for finish in finishes])
    stored: defaultdict[int, int] = defaultdict(int)  # bytes of the owners, by these results so far
    decided = [_decide(connection, finish, known.get(finish.lease.job), stored) for finish in finishes]
    ends = [
        (AttemptEnd(known[finish.lease.job], JobState.DONE, Outcome.DONE, finish.now), answer[0])
        for finish, answer in zip(finishes, decided, strict=True)
        if not isinstance(answer, DpipError) and answer[1]
    ]
    if ends:
        images.add(connection, [(ending.held.workload, image) for ending, image in ends])
        jobs.end_attempts(connection, [ending for ending, _ in ends])
        _count(connection, [(ending, image.file) for ending, image in ends])
    return decided


def _decide(
    connection: Connection, finish: FinishOperation, held: LeasedRow | None, stored: defaultdict[int, int]
) -> tuple[Image, bool] | DpipError:
    """The result's image, and whether it is new."""
    if held is None:
        return _stale(finish)
    if held.is_leased_by(finish.lease):
        used = held.used + stored[held.owner]
        if (
            held.quota is not None and used > held.quota
        ):  # one may go beyond, since nobody knows its size before
            return _over_quota(used, held.quota)
        stored[held.owner] += finish.file.size
        created = seconds(micros(finish.now))
        return Image(held.result, held.workload_id, ImageType.FILTERED, held.seq, finish.file, created), True
    if held.state == JobState.DONE:
        done = images.get(connection, held.result)
        if done is not None and done.file.sha256 == finish.file.sha256:
            return done, False
    return _stale(finish)


def _over_quota(used: int, quota: int) -> QuotaExceeded:
    return QuotaExceeded(
        f"{used} bytes are used, and the quota is {quota}: the result is not kept. Delete workloads that are "
        "not needed any more, and retry this image.",
        quota=quota,
        used=used,
    )


def _stale(finish: FinishOperation) -> StaleLease:
    return StaleLease(
        f"Job {finish.lease.job} is not leased to {finish.worker} by attempt {finish.lease.attempt}: "
        "the result changes nothing."
    )


FINISH: OperationKind[FinishOperation, tuple[Image, bool]] = OperationKind(
    _finish, lambda finish: [finish.lease.job], sheds=False
)


@frozen
class FailOperation:
    lease: Lease
    code: str
    detail: str
    now: float


Place = tuple[str, int]


def _fail(connection: Connection, fails: Sequence[FailOperation]) -> Sequence[Place | DpipError | None]:
    known = jobs.rows_of(connection, [fail.lease.job for fail in fails])
    rows = [known.get(fail.lease.job) for fail in fails]
    leased = [
        row if row is not None and row.is_leased_by(fail.lease) else None
        for fail, row in zip(fails, rows, strict=True)
    ]
    endings = [
        AttemptEnd(held, JobState.FAILED, Outcome.FAILED, fail.now, text(fail.code), text(fail.detail))
        for fail, held in zip(fails, leased, strict=True)
        if held is not None
    ]
    if endings:
        jobs.end_attempts(connection, endings)
        _count(connection, [(ending, None) for ending in endings])
    return [None if held is None else (held.workload_id, held.seq) for held in leased]


FAIL: OperationKind[FailOperation, Place | None] = OperationKind(
    _fail, lambda fail: [fail.lease.job], sheds=False
)


# Counters

_ended = given("id", "filtered", "failed", "size", "reserved", "noticed", "now")
_all_ended = (
    workloads.c.filtered + workloads.c.failed + _ended.c.filtered + _ended.c.failed == workloads.c.accepted
)
_COUNT = (
    update(workloads)
    .where(workloads.c.id == _ended.c.id)
    .values(
        filtered=workloads.c.filtered + _ended.c.filtered,
        failed=workloads.c.failed + _ended.c.failed,
        size=workloads.c.size + _ended.c.size,
        reserved=workloads.c.reserved - _ended.c.reserved,
        noticed=workloads.c.noticed + _ended.c.noticed,
        version=workloads.c.version + 1,
        finished=case((_all_ended, _ended.c.now), else_=workloads.c.finished),
    )
)
_used = given("id", "size", "reserved")
_USE = (
    update(users)
    .where(users.c.id == _used.c.id)
    .values(used=users.c.used + _used.c.size, reserved=users.c.reserved - _used.c.reserved)
)
_worked = given("name", "done", "failed")
_WORK = (
    update(workers)
    .where(workers.c.name == _worked.c.name)
    .values(done=workers.c.done + _worked.c.done, failed=workers.c.failed + _worked.c.failed)
)


@define
class _Tally:
    done: int = 0
    failed: int = 0
    size: int = 0
    reserved: int = 0
    noticed: int = 0
    now: int = 0


def _count(connection: Connection, ends: Sequence[tuple[AttemptEnd, StoredFile | None]]) -> None:
    """Add the ends of jobs, each with its result if it has one, to their workloads, owners and workers."""
    of_workload: defaultdict[int, _Tally] = defaultdict(_Tally)
    of_owner: defaultdict[int, _Tally] = defaultdict(_Tally)
    of_worker: defaultdict[str | None, _Tally] = defaultdict(_Tally)
    for ending, file in ends:
        held = ending.held
        for tally in (of_workload[held.workload], of_owner[held.owner], of_worker[held.worker]):
            tally.done += ending.state is JobState.DONE
            tally.failed += ending.state is JobState.FAILED
            tally.size += file.size if file else 0
            tally.reserved += held.reserved
            tally.noticed += bool(file and file.notices)
            tally.now = max(tally.now, micros(ending.now))
    rows = [(row, t.done, t.failed, t.size, t.reserved, t.noticed, t.now) for row, t in of_workload.items()]
    execute(connection, _COUNT, rows)
    execute(connection, _USE, [(row, t.size, t.reserved) for row, t in of_owner.items()])
    execute(connection, _WORK, [(name, t.done, t.failed) for name, t in of_worker.items()])

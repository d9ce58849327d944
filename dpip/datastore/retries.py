"""New jobs for images that have failed, under the same place and the same reserved id of the result.

The failed job stays as it was, and only says that it has a successor. The new one has a number of its own, so
a lease of the old one does not fit it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Select, bindparam, insert, literal, null, select, update

from dpip.datastore import webhooks
from dpip.datastore import workloads as workload_rows
from dpip.datastore.bulk import as_json, execute, fetch, given, one, text
from dpip.datastore.dialects import InsertedInOrder
from dpip.datastore.jobs import check_all_changed
from dpip.datastore.rows import micros
from dpip.datastore.schema import images, jobs, users, workloads
from dpip.errors import NotFound, QuotaExceeded, TooMany
from dpip.model import ImageType, JobState, WaitingJob, Workload

_SLICE = 500
"""Jobs made at once: about 1 ms for the scheduler to take in."""

MOST_RETRIES = 100
"""Of a workload, for each of its images: every retry keeps a row."""

_of_workload = (workloads.c.public == bindparam("workload")) & workloads.c.deleted.is_(None)


def _in_slices(statement: Select[tuple[int, int, int, int]]) -> Select[tuple[str]]:
    """The statement, of columns ``job, seq, original, reserved``, for a slice of failed jobs in order."""
    return as_json(
        statement.join(workloads, workloads.c.id == jobs.c.workload_id)
        .where(
            _of_workload, jobs.c.code.is_not(None), jobs.c.retried.is_(None), jobs.c.seq > bindparam("after")
        )
        .order_by(jobs.c.seq)
        .limit(bindparam("limit"))
    )


_failed = select(jobs.c.id, jobs.c.seq, jobs.c.original_id, jobs.c.reserved)
_ALL = _in_slices(_failed)
_named = given("public")
_NAMED = _in_slices(
    _failed.join_from(_named, images, images.c.public == _named.c.public).join(
        jobs, jobs.c.original_id == images.c.id
    )
)
_MISSING = as_json(
    select(_named.c.public)
    .where(
        ~select(images.c.id)
        .join(workloads, workloads.c.id == images.c.workload_id)
        .where(images.c.public == _named.c.public, _of_workload, images.c.type == bindparam("type"))
        .exists()
    )
    .limit(1)
)

_job = given("job", "now")
_SUPERSEDE = update(jobs).where(jobs.c.id == _job.c.job, jobs.c.retried.is_(None)).values(retried=_job.c.now)
_AGAIN = insert(jobs).from_select(
    ["workload_id", "original_id", "seq", "result", "state", "pixels", "memory", "reserved"],
    select(jobs.c.workload_id, jobs.c.original_id, jobs.c.seq, jobs.c.result)
    .add_columns(literal(JobState.WAITING.value), jobs.c.pixels, jobs.c.memory, jobs.c.reserved)
    .join_from(_job, jobs, jobs.c.id == _job.c.job)
    .order_by(InsertedInOrder(jobs.c.seq)),
)
_original = given("original_id")
_MADE = as_json(
    select(jobs.c.id, jobs.c.pixels, jobs.c.memory)
    .join_from(_original, jobs, jobs.c.original_id == _original.c.original_id)
    .where(jobs.c.retried.is_(None))
)
_COUNT = (
    update(workloads)
    .where(_of_workload)
    .values(
        failed=workloads.c.failed - bindparam("jobs"),
        retried=workloads.c.retried + bindparam("jobs"),
        reserved=workloads.c.reserved + bindparam("room"),
        idle=workload_rows.idle_until(bindparam("now")),
        finished=null(),
        version=workloads.c.version + 1,
    )
)
_OWNER = (
    select(users.c.id, users.c.used, users.c.reserved, users.c.quota)
    .add_columns(workloads.c.accepted, workloads.c.retried)
    .join_from(workloads, users, users.c.id == workloads.c.owner_id)
    .where(_of_workload)
)
_RESERVE = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(reserved=users.c.reserved + bindparam("room"))
)


def retry(
    connection: Connection, workload_id: str, image_ids: Sequence[str] | None, after: int, now: float
) -> tuple[Workload, Sequence[WaitingJob], int | None]:
    """Retry a slice of the failed images, or of those named, behind the place ``after``.

    The workload after that, the new jobs, and the place behind which to go on; None at the end. Raises
    NotFound, QuotaExceeded, TooMany.
    """
    _check(connection, workload_id, image_ids)
    of: dict[str, Any] = {"workload": text(workload_id), "after": after, "limit": _SLICE}
    if image_ids is None:
        failed = fetch(connection, _ALL, **of)
    else:
        failed = fetch(connection, _NAMED, [[text(image_id)] for image_id in set(image_ids)], **of)
    made: list[WaitingJob] = []
    if failed:
        room = sum(reserved for *_, reserved in failed)
        owner = _check_owner(connection, workload_id, len(failed), room)
        made = _make(connection, failed, now)
        connection.execute(
            _COUNT, {"workload": text(workload_id), "jobs": len(made), "room": room, "now": micros(now)}
        )
        connection.execute(_RESERVE, {"owner": owner, "room": room})
        webhooks.reopen(connection, workload_id)
    further = failed[-1][1] if len(failed) == _SLICE else None
    return workload_rows.present(connection, workload_id), made, further


def _check(connection: Connection, workload_id: str, image_ids: Sequence[str] | None) -> None:
    if not image_ids:
        return
    named = [[text(image_id)] for image_id in dict.fromkeys(image_ids)]
    missing = fetch(connection, _MISSING, named, workload=text(workload_id), type=ImageType.ORIGINAL.value)
    if missing:
        raise NotFound(
            f"Workload {workload_id} has no original {missing[0][0][:64]!r}. Name images by their image_id, "
            "as failed_images has them."
        )


def _check_owner(connection: Connection, workload_id: str, count: int, room: int) -> int:
    """Return the owner's number. Raises QuotaExceeded, TooMany when there were enough retries."""
    found = one(connection, _OWNER, workload=text(workload_id))
    assert found is not None  # else no job of it would have been found
    owner, used, reserved, quota, accepted, retried = found
    QuotaExceeded.check(room, used, reserved, quota)
    if retried + count > MOST_RETRIES * accepted:
        raise TooMany(
            f"The {accepted} images of workload {workload_id} have been retried {retried} times. That is "
            "enough: upload what you still want to a new workload."
        )
    return int(owner)


def _make(
    connection: Connection, failed: Sequence[tuple[int, int, int, int]], now: float
) -> list[WaitingJob]:
    rows = [(job, micros(now)) for job, *_ in failed]
    check_all_changed(execute(connection, _SUPERSEDE, rows), rows)
    check_all_changed(execute(connection, _AGAIN, rows), rows)
    return [
        WaitingJob(*facts) for facts in fetch(connection, _MADE, [[original] for _, _, original, _ in failed])
    ]

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
from dpip.datastore.bulk import as_json, execute, fetch, given, text
from dpip.datastore.jobs import check_all_changed
from dpip.datastore.rows import micros
from dpip.datastore.schema import images, jobs, workloads
from dpip.errors import NotFound
from dpip.model import ImageType, JobState, WaitingJob, Workload

_SLICE = 500
"""Jobs made at once: about 1 ms for the scheduler to take in."""

_of_workload = (workloads.c.public == bindparam("workload")) & workloads.c.deleted.is_(None)


def _in_slices(statement: Select[tuple[int, int, int]]) -> Select[tuple[str]]:
    """The statement, of columns ``job, seq, original``, for a slice of failed jobs in their order."""
    return as_json(
        statement.join(workloads, workloads.c.id == jobs.c.workload_id)
        .where(
            _of_workload, jobs.c.code.is_not(None), jobs.c.retried.is_(None), jobs.c.seq > bindparam("after")
        )
        .order_by(jobs.c.seq)
        .limit(bindparam("limit"))
    )


_failed = select(jobs.c.id, jobs.c.seq, jobs.c.original_id)
_ALL = _in_slices(_failed)
_named = given("public")
_NAMED = _in_slices(
    _failed.join_from(_named, images, images.c.public == _named.c.public).join(
        jobs, jobs.c.original_id == images.c.id
    )
)
_MISSING = as_json(
    select(_named.c.public).where(
        ~select(images.c.id)
        .join(workloads, workloads.c.id == images.c.workload_id)
        .where(images.c.public == _named.c.public, _of_workload, images.c.type == bindparam("type"))
        .exists()
    )
)

_job = given("job", "now")
_SUPERSEDE = update(jobs).where(jobs.c.id == _job.c.job, jobs.c.retried.is_(None)).values(retried=_job.c.now)
_AGAIN = insert(jobs).from_select(
    ["workload_id", "original_id", "seq", "result", "state", "pixels", "decoded_bytes"],
    select(jobs.c.workload_id, jobs.c.original_id, jobs.c.seq, jobs.c.result)
    .add_columns(literal(JobState.WAITING.value), jobs.c.pixels, jobs.c.decoded_bytes)
    .join_from(_job, jobs, jobs.c.id == _job.c.job),
)
_original = given("original")
_MADE = as_json(
    select(jobs.c.id, jobs.c.pixels, jobs.c.decoded_bytes)
    .join_from(_original, jobs, jobs.c.original_id == _original.c.original)
    .where(jobs.c.retried.is_(None))
)
_COUNT = (
    update(workloads)
    .where(_of_workload)
    .values(
        failed=workloads.c.failed - bindparam("jobs"),
        retried=workloads.c.retried + bindparam("jobs"),
        finished=null(),
        version=workloads.c.version + 1,
    )
)


def retry(
    connection: Connection, workload_id: str, image_ids: Sequence[str] | None, after: int, now: float
) -> tuple[Workload, Sequence[WaitingJob], int | None]:
    """Retry a slice of the failed images, or of those named, behind the place ``after``.

    The workload after that, the new jobs, and the place behind which to go on; None at the end.
    """
    _check(connection, workload_id, image_ids)
    of: dict[str, Any] = {"workload": text(workload_id), "after": after, "limit": _SLICE}
    if image_ids is None:
        failed = fetch(connection, _ALL, **of)
    else:
        failed = fetch(connection, _NAMED, [[text(image_id)] for image_id in set(image_ids)], **of)
    made = _make(connection, failed, now) if failed else []
    if made:
        connection.execute(_COUNT, {"workload": text(workload_id), "jobs": len(made)})
        webhooks.reopen(connection, workload_id)
    further = failed[-1][1] if len(failed) == _SLICE else None
    return workload_rows.present(connection, workload_id), made, further


def _check(connection: Connection, workload_id: str, image_ids: Sequence[str] | None) -> None:
    if not image_ids:
        return
    named = [[text(image_id)] for image_id in image_ids]
    missing = fetch(connection, _MISSING, named, workload=text(workload_id), type=ImageType.ORIGINAL.value)
    if missing:
        raise NotFound(
            f"Workload {workload_id} has no original {missing[0][0][:64]!r}. Name images by their image_id, "
            "as failed_images has them."
        )


def _make(connection: Connection, failed: Sequence[tuple[int, int, int]], now: float) -> list[WaitingJob]:
    rows = [(job, micros(now)) for job, _, _ in failed]
    check_all_changed(execute(connection, _SUPERSEDE, rows), rows)
    check_all_changed(execute(connection, _AGAIN, rows), rows)
    return [
        WaitingJob(*facts) for facts in fetch(connection, _MADE, [[original] for _, _, original in failed])
    ]

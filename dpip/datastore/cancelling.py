"""Cancelling a workload: each image that has not ended becomes a recorded failure.

This is done in slices, so that no result waits long for one. A workload is cancelled with the slice after
which nothing is left; what was uploaded or retried meanwhile is cancelled, too.
"""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, case, cast, func, literal_column, null, select, update

from dpip.datastore import workloads as workload_rows
from dpip.datastore.bulk import text
from dpip.datastore.jobs import attempts_given_up
from dpip.datastore.rows import micros
from dpip.datastore.schema import Number, images, jobs, users, workloads
from dpip.errors import NotFound
from dpip.model import CANCELLED, ImageType, JobState, Workload

_PLACES = 2_000  # looked at in one slice: some 20 ms
_DETAIL = "The workload was cancelled before this image was filtered."

_here = images.c.workload_id == bindparam("row"), images.c.type == ImageType.ORIGINAL.value
_slice = images.c.seq.between(bindparam("first"), bindparam("last"))
_unended = jobs.c.state.in_([literal_column(f"'{state}'") for state in (JobState.WAITING, JobState.LEASED)])
_of_slice = jobs.c.original_id.in_(select(images.c.id).where(*_here, _slice))
_GIVE_UP = attempts_given_up(
    (jobs.c.workload_id == bindparam("row")) & jobs.c.seq.between(bindparam("first"), bindparam("last"))
)
_CANCEL = (
    update(jobs)
    .where(_of_slice, _unended)
    .values(state=JobState.FAILED, code=CANCELLED, detail=_DETAIL, nonce=null(), worker=null(), leased=null())
)
_RESERVED = select(cast(func.coalesce(func.sum(jobs.c.reserved), 0), Number)).where(_of_slice, _unended)
_failed = workloads.c.failed + bindparam("ended")
_all_ended = workloads.c.accepted == workloads.c.filtered + _failed
_COUNT = (
    update(workloads)
    .where(workloads.c.id == bindparam("row"))
    .values(
        failed=_failed,
        reserved=workloads.c.reserved - bindparam("freed"),
        finished=case((_all_ended, bindparam("now")), else_=workloads.c.finished),
        version=workloads.c.version + 1,
    )
)
_FREE = (
    update(users)
    .where(users.c.id == bindparam("owner"))
    .values(reserved=users.c.reserved - bindparam("freed"))
)


def cancel(connection: Connection, workload_id: str, first: int, now: float) -> tuple[Workload, int, int]:
    """Cancel a slice of the images, from the place ``first`` on.

    The workload after that, how many images of the slice had not ended, and the place to go on at.
    """
    found = connection.execute(
        select(workloads.c.id, workloads.c.next_seq, workloads.c.owner_id).where(
            workloads.c.public == text(workload_id), workloads.c.deleted.is_(None)
        )
    ).one_or_none()
    if found is None:
        raise NotFound(f"There is no workload {workload_id}.")
    row, end, owner = found
    places = {"row": row, "first": first, "last": first + _PLACES - 1}
    connection.execute(_GIVE_UP, {**places, "now": micros(now)})
    freed = connection.scalar(_RESERVED, places)
    ended = connection.execute(_CANCEL, places).rowcount
    if ended:
        connection.execute(_COUNT, {"row": row, "ended": ended, "freed": freed, "now": micros(now)})
        connection.execute(_FREE, {"owner": owner, "freed": freed})
    after = places["last"] + 1
    return workload_rows.present(connection, workload_id), ended, after if after < end else 0

"""Workloads: made, read, deleted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    ScalarSelect,
    bindparam,
    case,
    cast,
    func,
    insert,
    or_,
    select,
    update,
)

from dpip.datastore import dialects, idempotency_keys
from dpip.datastore.bulk import one, text
from dpip.datastore.rows import micros, select_workloads, spec_to_json, workload_of
from dpip.datastore.schema import EMPTY, Number, purges, users, workloads
from dpip.errors import NotFound, QuotaExceeded, TooMany
from dpip.model import UNFINISHED, IdempotencyKey, Selection, Workload, WorkloadStatus

_SELECT = select_workloads()
_NUMBER = workloads.c.id
_COUNTS = (workloads.c.accepted, workloads.c.filtered, workloads.c.failed)
_GET = _SELECT.where(workloads.c.public == bindparam("workload"))


def add(connection: Connection, new: Workload, key: IdempotencyKey | None) -> Workload:
    earlier = idempotency_keys.answered(idempotency_keys.find(connection, [key]), key, "workload")
    if earlier is not None:
        return _made_earlier(connection, earlier)
    owner_id = connection.scalar(select(users.c.id).where(users.c.name == text(new.owner)))
    if owner_id is None:
        raise NotFound(f"There is no user named {new.owner!r}.")
    _check_number(connection, owner_id)
    spec = spec_to_json(new.spec)
    connection.execute(
        insert(workloads).values(
            public=new.id,
            owner_id=owner_id,
            spec=spec,
            directory=new.directory,
            created=micros(new.created_at),
            reserved=_charge_spec(connection, owner_id, len(spec)),
        )
    )
    idempotency_keys.remember(connection, [(key, {"workload": new.id}, new.created_at)])
    return new


SPEC_BYTES = 4 * 1024
"""What a workload may say for nothing: filters take whole pictures as parameters, and lists show them."""


def _charge_spec(connection: Connection, owner_id: int, size: int) -> int:
    """Reserve what is beyond that, for as long as the workload is there. Raises QuotaExceeded."""
    surplus = max(0, size - SPEC_BYTES)
    if surplus:
        user = connection.execute(
            select(users.c.used, users.c.reserved, users.c.quota).where(users.c.id == owner_id)
        ).one()
        QuotaExceeded.check(surplus, *user)
        connection.execute(
            update(users).where(users.c.id == owner_id).values(reserved=users.c.reserved + surplus)
        )
    return surplus


MOST_EMPTY = 1_000
"""Workloads without images that one user may have: each costs as much memory and disk as one with images."""
MOST_WORKLOADS = 100_000

_of_owner = workloads.c.owner_id == bindparam("owner")
_COUNT_EMPTY = select(func.count()).where(_of_owner, EMPTY)
_COUNT_ALL = select(func.count()).where(_of_owner, workloads.c.deleted.is_(None))


def _check_number(connection: Connection, owner_id: int) -> None:
    """Raises TooMany."""
    for count, most, kind in (
        (_COUNT_EMPTY, MOST_EMPTY, "workloads without images"),
        (_COUNT_ALL, MOST_WORKLOADS, "workloads"),
    ):
        found = one(connection, count, owner=owner_id)
        if found is not None and found[0] >= most:
            raise TooMany(
                f"You have {found[0]} {kind}, as many as one user may have. Delete those you do not need.",
                limit=most,
            )


def _made_earlier(connection: Connection, workload_id: str) -> Workload:
    found = get(connection, workload_id)
    if found is None:
        raise NotFound(f"Workload {workload_id}, made under this idempotency key, has been deleted.")
    return found


def get(connection: Connection, workload_id: str) -> Workload | None:
    row = one(connection, _GET, workload=text(workload_id))
    return None if row is None else workload_of(row)


def present(connection: Connection, workload_id: str) -> Workload:
    """Raises NotFound."""
    found = get(connection, workload_id)
    if found is None:
        raise NotFound(f"There is no workload {workload_id}.")
    return found


def idle_until(now: ColumnElement[Any]) -> ColumnElement[int]:
    """The time that a workload has lain completed, as of ``now``, when it is opened again."""
    lay = case((workloads.c.finished < now, now - workloads.c.finished), else_=0)
    return workloads.c.idle + lay


_all_ended = workloads.c.accepted == workloads.c.filtered + workloads.c.failed
_SEAL = (
    update(workloads)
    .where(
        workloads.c.public == bindparam("workload"),
        workloads.c.deleted.is_(None),
        workloads.c.sealed.is_(None),
    )
    .values(
        sealed=bindparam("now"),
        finished=case((_all_ended, func.coalesce(workloads.c.finished, bindparam("now")))),
        version=workloads.c.version + 1,
    )
)


def seal(connection: Connection, workload_id: str, now: float) -> tuple[Workload, bool]:
    """Seal a workload; one without originals is complete then. Whether it was not sealed before.

    Raises NotFound.
    """
    sealed = connection.execute(_SEAL, {"workload": text(workload_id), "now": micros(now)})
    return present(connection, workload_id), sealed.rowcount == 1


PAGE_BYTES = 2 * 2**20
"""What the workloads of one page may say of themselves: a page that would be longer has fewer of them."""
PAGE_LEAST = 50
"""It has so many at least, if there are: as many as the page in the browser asks for."""


def page(
    connection: Connection, owner: str | None, which: Selection, after: str | None, limit: int
) -> Sequence[Workload]:
    statement = _SELECT.order_by(_NUMBER.desc()).limit(limit)
    if owner is not None:
        owner_id = select(users.c.id).where(users.c.name == text(owner)).scalar_subquery()
        statement = statement.where(workloads.c.owner_id == owner_id)
    if which.statuses:
        statement = statement.where(_of_status(frozenset(which.statuses)))
    if which.name:
        name, wanted = func.lower(dialects.NameIn(workloads.c.spec)), func.lower(text(which.name))
        statement = statement.where(dialects.PositionIn(name, wanted) > 0)
    if after is not None:
        last = select(_NUMBER).where(workloads.c.public == text(after)).scalar_subquery()
        statement = statement.where(last > _NUMBER)
    found: list[Workload] = []
    size = 0
    for row in connection.execute(statement):
        size += len(row.spec)
        if size > PAGE_BYTES and len(found) >= PAGE_LEAST:
            break
        found.append(workload_of(row))
    return found


def _of_status(statuses: frozenset[WorkloadStatus]) -> ColumnElement[bool]:
    """The condition for :attr:`Workload.status`: exactly the completed workloads have ``finished``."""
    unfinished = workloads.c.finished.is_(None)
    if statuses == set(UNFINISHED.statuses):
        return unfinished
    of = {
        WorkloadStatus.SCHEDULING: unfinished & (workloads.c.accepted == 0),
        WorkloadStatus.RUNNING: unfinished & (workloads.c.accepted > 0),
        WorkloadStatus.COMPLETED: workloads.c.finished.is_not(None),
    }
    return or_(*(of[status] for status in sorted(statuses)))


def finished_before(connection: Connection, when: float, limit: int) -> Sequence[Workload]:
    statement = (
        _SELECT.where(workloads.c.finished < micros(when))
        .order_by(workloads.c.finished, _NUMBER)
        .limit(limit)
    )
    return [workload_of(row) for row in connection.execute(statement)]


_EMPTY_BEFORE = _SELECT.where(EMPTY, workloads.c.created < bindparam("when")).limit(bindparam("limit"))


def empty_before(connection: Connection, when: float, limit: int) -> Sequence[Workload]:
    found = connection.execute(_EMPTY_BEFORE, {"when": micros(when), "limit": limit})
    return [workload_of(row) for row in found]


def directories(connection: Connection) -> frozenset[str]:
    return frozenset(connection.scalars(select(workloads.c.directory).where(workloads.c.deleted.is_(None))))


def delete(connection: Connection, workload_id: str, now: float, if_empty: bool = False) -> Workload | None:
    which = workloads.c.public == text(workload_id)
    return next(iter(bury(connection, which & EMPTY if if_empty else which, now)), None)


def bury(connection: Connection, which: ColumnElement[bool], now: float) -> Sequence[Workload]:
    """Make tombstones of workloads: no reader sees them after this commit.

    ``purge`` removes their images' rows later, so a workload of 100,000 images costs as much as an empty one.
    """
    which = which & workloads.c.deleted.is_(None)
    buried = [workload_of(row) for row in connection.execute(_SELECT.where(which).order_by(_NUMBER))]
    owners = select(workloads.c.owner_id).where(which)
    freed = {
        of_user: of_user - _sum_of(of_workload, which)
        for of_user, of_workload in (
            (users.c.used, workloads.c.size),
            (users.c.reserved, workloads.c.reserved),
        )
    }
    connection.execute(update(users).where(users.c.id.in_(owners)).values(freed))
    connection.execute(insert(purges).from_select(["workload_id"], select(workloads.c.id).where(which)))
    connection.execute(
        update(workloads).where(which).values(deleted=micros(now), spec="{}", version=workloads.c.version + 1)
    )
    return buried


def _sum_of(column: ColumnElement[int], which: ColumnElement[bool]) -> ScalarSelect[int]:
    """The sum over the workloads of a user in the statement around it."""
    return select(func.sum(column)).where(which, workloads.c.owner_id == users.c.id).scalar_subquery()


def totals(connection: Connection) -> tuple[int, int, int]:
    # PostgreSQL's sums are of another type than what they add.
    sums = [cast(func.coalesce(func.sum(column), 0), Number) for column in _COUNTS]
    found = connection.execute(select(*sums).where(workloads.c.deleted.is_(None))).one()
    return found[0], found[1], found[2]

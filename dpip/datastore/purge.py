"""The removal of rows that nobody can see any more, in slices so short that no result waits long for one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import ColumnElement, Connection, Select, Table, delete, func, select

from dpip.datastore.rows import micros
from dpip.datastore.schema import (
    activity,
    certificates,
    deliveries,
    images,
    keys,
    purges,
    tokens,
    webhooks,
    workers,
    workloads,
)

_IMAGES = 500  # in one slice; each takes its job and its attempts along
_ROWS = 5_000  # in one slice, of tables whose rows take nothing along

_DAY = 24 * 3600.0
KEY_SECONDS = 1 * _DAY
KEY_ROWS = 1_000_000  # beyond the newest ones a key is kept for …
SHORT_KEY_SECONDS = 3600.0  # … no longer than this: nobody tries the same request again for hours
KEY_ROWS_EACH = 100_000  # of one user: beyond the newest ones a key is kept for …
SHORTEST_KEY_SECONDS = 600.0  # … no longer than this
ACTIVITY_SECONDS = 90 * _DAY
ACTIVITY_ROWS = 100_000
ACTIVITY_ROWS_EACH = 20_000  # of one actor: nobody can have forgotten what others did
TOMBSTONE_SECONDS = 90 * _DAY
TOMBSTONE_ROWS = 100_000
WORKER_SECONDS = 90 * _DAY  # since it was last seen
WORKER_ROWS = 10_000  # of workers that are gone, the last ones


def deleted_rows(connection: Connection) -> bool:
    """Remove a slice of one deleted workload's images, jobs and attempts, and with the last its webhook.

    False when there was none left.
    """
    workload_id = connection.scalar(select(func.min(purges.c.workload_id)))
    if workload_id is None:
        return False
    some = select(images.c.id).where(images.c.workload_id == workload_id).limit(_IMAGES)
    if connection.execute(delete(images).where(images.c.id.in_(some))).rowcount < _IMAGES:
        for table in (webhooks, deliveries, purges):
            connection.execute(delete(table).where(table.c.workload_id == workload_id))
    return True


def expired(connection: Connection, now: float) -> bool:
    """Remove a slice of the rows that are too old or too many; False when none are left."""
    oldest_entry = connection.scalar(_nth(activity, ACTIVITY_ROWS)) or 0
    newest_key = connection.scalar(select(func.max(keys.c.id))) or 0
    surplus_key = (keys.c.id <= newest_key - KEY_ROWS) & (keys.c.created < micros(now - SHORT_KEY_SECONDS))
    forgotten = ~workers.c.joined & (workers.c.suspended.is_(None) | (workers.c.suspended < micros(now)))
    gone = select(workers.c.last_seen).where(~workers.c.joined).order_by(workers.c.last_seen.desc())
    oldest = connection.scalar(gone.offset(WORKER_ROWS).limit(1))
    before = max(micros(now - WORKER_SECONDS), oldest or 0)
    buried = select(workloads.c.deleted).where(workloads.c.deleted.is_not(None))
    surplus = connection.scalar(buried.order_by(workloads.c.deleted.desc()).offset(TOMBSTONE_ROWS).limit(1))
    buried_before = max(micros(now - TOMBSTONE_SECONDS), (surplus or 0) + 1)
    purged = workloads.c.id.not_in(select(purges.c.workload_id))
    removed = (
        _remove(connection, tokens, tokens.c.expires < micros(now)),
        _remove(connection, certificates, certificates.c.expires < micros(now)),
        _remove(connection, keys, keys.c.created < micros(now - KEY_SECONDS)),
        _remove(connection, keys, surplus_key),
        _remove(connection, activity, activity.c.id <= oldest_entry),
        _remove(connection, activity, activity.c.at < micros(now - ACTIVITY_SECONDS)),
        _remove(connection, workers, forgotten & (workers.c.last_seen <= before)),
        _remove(connection, workloads, (workloads.c.deleted < buried_before) & purged),
    )
    return max(removed) == _ROWS


@frozen
class Crowd:
    """Rows of one owner that are too many: those up to ``last``."""

    table: Table
    column: str
    owner: int | str
    last: Any


def crowds(connection: Connection) -> Sequence[Crowd]:
    """Say whose rows are too many. It looks at all of them: a task for a reader."""
    found = []
    for table, column, most in ((activity, "actor", ACTIVITY_ROWS_EACH), (keys, "owner_id", KEY_ROWS_EACH)):
        owner = table.c[column]
        for (name,) in connection.execute(select(owner).group_by(owner).having(func.count() > most)).all():
            last = connection.scalar(_nth(table, most, owner == name))
            found.append(Crowd(table, column, name, last))
    return found


def thin_out(connection: Connection, crowd: Crowd, now: float) -> bool:
    """Remove a slice of such rows; false when none are left."""
    past = (crowd.table.c[crowd.column] == crowd.owner) & (crowd.table.c.id <= crowd.last)
    if crowd.table is keys:
        past &= keys.c.created < micros(now - SHORTEST_KEY_SECONDS)
    return _remove(connection, crowd.table, past) == _ROWS


def _nth(table: Table, number: int, *which: ColumnElement[bool]) -> Select[tuple[int]]:
    """Return the query for the row that so many newer ones of its kind follow."""
    return select(table.c.id).where(*which).order_by(table.c.id.desc()).offset(number).limit(1)


def _remove(connection: Connection, table: Table, past: ColumnElement[bool]) -> int:
    [name] = table.primary_key
    return connection.execute(delete(table).where(name.in_(select(name).where(past).limit(_ROWS)))).rowcount

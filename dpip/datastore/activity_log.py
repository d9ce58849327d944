"""The activity record, which says who did what, and when."""

from __future__ import annotations

import json
from collections.abc import Sequence

from sqlalchemy import Connection, insert, select

from dpip.datastore.bulk import execute, given, text
from dpip.datastore.rows import micros, seconds
from dpip.datastore.schema import activity
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError
from dpip.model import Activity

_COLUMNS = ["at", "actor", "action", "subject", "detail"]
_INSERT = insert(activity).from_select(_COLUMNS, select(given(*_COLUMNS)))


def _append(connection: Connection, entries: Sequence[Activity]) -> Sequence[DpipError | None]:
    rows = [
        (micros(entry.at), text(entry.actor), entry.action, text(entry.subject), json.dumps(entry.detail))
        for entry in entries
    ]
    execute(connection, _INSERT, rows)
    return [None] * len(rows)


APPEND: OperationKind[Activity, None] = OperationKind(_append, touches=lambda _: ())


def page(
    connection: Connection,
    before: int | None,
    limit: int,
    subject: str | None = None,
    actor: str | None = None,
) -> Sequence[tuple[int, Activity]]:
    statement = select(activity).order_by(activity.c.id.desc()).limit(limit)
    if subject is not None:
        statement = statement.where(activity.c.subject == text(subject))
    if actor is not None:
        statement = statement.where(activity.c.actor == text(actor))
    if before is not None:
        statement = statement.where(activity.c.id < before)
    return [
        (row.id, Activity(seconds(row.at), row.actor, row.action, row.subject, json.loads(row.detail)))
        for row in connection.execute(statement)
    ]

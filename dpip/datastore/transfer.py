"""All rows of one database copied to another one, of the same kind or not, and compared row by row."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import zip_longest
from typing import Any

from sqlalchemy import Connection, Table, func, insert, select, text

from dpip.datastore import dialects
from dpip.datastore.engine import snapshot
from dpip.datastore.schema import jobs, metadata
from dpip.errors import Conflict

_ROWS = 5_000  # in memory at once


class DifferentRows(Exception):
    """A row of the copy is not what it was: a database has kept something else."""


def copy_rows(source: Connection, target: Connection) -> int:
    """Copy all rows as of one commit of the source into the target's transaction; how many they are.

    Each row is read again and compared. Raises Conflict when there are rows in the target, DifferentRows.
    """
    for table in metadata.sorted_tables:
        if target.execute(select(table).limit(1)).first() is not None:
            raise Conflict(f"The database is not empty: its table {table.name} has rows. Name another one.")
    snapshot(source)
    for table in metadata.sorted_tables:
        names = table.columns.keys()
        for rows in _slices(source, table):
            target.execute(insert(table), [dict(zip(names, row, strict=True)) for row in rows])
    _go_on_numbering(target, source.scalar(select(dialects.LastJob())) or 0)
    return sum(_compared(source, target, table) for table in metadata.sorted_tables)


def _slices(connection: Connection, table: Table) -> Iterator[Any]:
    """All rows in the order of their keys."""
    statement = select(table).order_by(*table.primary_key).execution_options(yield_per=_ROWS)
    yield from connection.execute(statement).partitions()


def _compared(source: Connection, target: Connection, table: Table) -> int:
    count = 0
    before, after = (
        (row for rows in _slices(connection, table) for row in rows) for connection in (source, target)
    )
    for one, other in zip_longest(before, after):
        if one is None or other is None or tuple(one) != tuple(other):
            raise DifferentRows(f"The copy differs in table {table.name}: {one} has become {other}.")
        count += 1
    return count


def _go_on_numbering(target: Connection, last_job: int) -> None:
    """Let new rows have numbers behind those that there are, and behind those of jobs that are gone."""
    if target.dialect.name != dialects.POSTGRESQL:
        if last_job:  # the other tables' numbers come from their rows
            target.execute(text("DELETE FROM sqlite_sequence WHERE name = 'jobs'"))
            target.execute(text("INSERT INTO sqlite_sequence VALUES ('jobs', :last)"), {"last": last_job})
        return
    for table in metadata.sorted_tables:
        if "id" in table.c:
            highest = target.scalar(select(func.max(table.c.id))) or 0
            last = max(highest, last_job) if table is jobs else highest
            sequence = {"name": f"{table.name}_id_seq", "last": max(last, 1), "used": last > 0}
            target.execute(text("SELECT setval(CAST(:name AS regclass), :last, :used)"), sequence)

"""Many rows in one step: they go in as one JSON parameter and come out as one JSON value.

The database thread gives up the interpreter at every row that SQLite steps over, and waits up to 5 ms to get
it back from a busy reactor. One ``execute`` for each of 64 rows took 302 ms in such a process, one statement
over ``json_each`` 23 ms. :mod:`dialects` has the functions by which each database does it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Executable, Integer, Select, Subquery, bindparam, make_url, select

from dpip.datastore import dialects, schema

Row = Sequence[Any]
_COLUMNS = [column for table in schema.metadata.tables.values() for column in table.c]
_NUMBERS = {column.name for column in _COLUMNS if isinstance(column.type, Integer)} | {"job", "now"}


def given(*columns: str) -> Subquery:
    """A table ``given`` of the rows passed to :func:`execute` or :func:`fetch`, with these columns.

    Each is a number if the schema's columns of that name are, or if it is named ``job`` or ``now``.
    """
    each = dialects.Elements(bindparam("rows")).table_valued("value", name="each")
    places = [
        dialects.ValueAt(each.c.value, place, column in _NUMBERS).label(column)
        for place, column in enumerate(columns)
    ]
    return select(*places).subquery("given")


def as_json(statement: Select[Any]) -> Select[Any]:
    """The statement that gives the rows of this one as a JSON array of columns: flat arrays are no work for
    the garbage collector.

    A statement that orders its rows must limit them.
    """
    rows = statement.subquery("answer")
    return select(dialects.Columns(*rows.c)).select_from(rows)


def execute(connection: Connection, statement: Executable, rows: Iterable[Row]) -> int:
    """Run a statement over ``given`` rows; the number of rows that it changed."""
    changed: int = step(connection, statement, rows=json.dumps(list(rows))).rowcount
    return changed


def fetch_columns(
    connection: Connection, statement: Executable, rows: Iterable[Row] = (), **parameters: Any
) -> list[list[Any]]:
    """The columns of a statement made by :func:`as_json`."""
    answer = one(connection, statement, rows=json.dumps(list(rows)), **parameters)
    assert answer is not None  # an aggregate always has a row
    columns: list[list[Any]] = json.loads(answer[0])
    return columns


def fetch(
    connection: Connection, statement: Executable, rows: Iterable[Row] = (), **parameters: Any
) -> list[tuple[Any, ...]]:
    """The rows of a statement made by :func:`as_json`."""
    return list(zip(*fetch_columns(connection, statement, rows, **parameters), strict=True))


def one(connection: Connection, statement: Executable, **parameters: Any) -> tuple[Any, ...] | None:
    """The only row of a statement, or None when it has none."""
    cursor = step(connection, statement, **parameters)
    row: tuple[Any, ...] | None = cursor.fetchone()
    cursor.close()
    return row


def step(connection: Connection, statement: Executable, **parameters: Any) -> Any:
    """The driver's cursor after a statement, which must be a constant of its module.

    SQLAlchemy writes the SQL, once; going through it each time costs 200 µs more, and a single job takes
    sixteen statements. Errors are the driver's own.
    """
    sql, names, constants = _written(statement, connection.engine.url.drivername)
    values = constants | parameters
    cursor = connection.connection.cursor()
    cursor.execute(sql, values if names is None else [values[name] for name in names])
    return cursor


@cache
def _written(statement: Executable, driver: str) -> tuple[str, list[str] | None, dict[str, Any]]:
    """SQL, the names of its parameters in order (None where they are passed by name), and the values of those
    that are always the same."""
    dialect = make_url(f"{driver}://").get_dialect()()
    compiled: Any = statement.compile(dialect=dialect)  # type: ignore[attr-defined]
    return compiled.string, compiled.positiontup, compiled.params


def text(value: str) -> str:
    """The text without what databases cannot keep: half surrogate pairs, and NUL."""
    return value.encode("utf-8", "replace").decode().replace("\0", "")

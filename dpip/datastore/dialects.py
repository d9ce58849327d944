"""What SQLite and PostgreSQL write differently: one SQL construct for each difference, compiled twice."""

from __future__ import annotations

from functools import partial
from typing import Any

from sqlalchemy import BigInteger, Text
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.expression import ColumnElement, FunctionElement

POSTGRESQL = "postgresql"


def _spell(construct: type[FunctionElement[Any]], sqlite: str, postgresql: str) -> None:
    """Compile a construct to these words, with its arguments in the place of ``{}``."""
    compiles(construct)(partial(_spelled, sqlite))
    compiles(construct, POSTGRESQL)(partial(_spelled, postgresql))


def _spelled(words: str, element: Any, compiler: Any, **kw: Any) -> str:
    return words.format(compiler.process(element.clauses, **kw))


class Elements(FunctionElement[Any]):
    """The elements of a JSON array, one row each, in the column ``value``."""

    name = "each"
    inherit_cache = True


_spell(Elements, "json_each({})", "jsonb_array_elements(CAST({} AS jsonb))")


class ValueAt(FunctionElement[Any]):
    """The value at a place of a JSON array: text, or (which SQLite sees by itself) a number."""

    name = "value_at"
    inherit_cache = False

    def __init__(self, array: ColumnElement[Any], place: int, number: bool) -> None:
        super().__init__(array)
        self.place = place
        self.type = BigInteger() if number else Text()


@compiles(ValueAt)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    return f"json_extract({compiler.process(element.clauses, **kw)}, '$[{element.place}]')"


@compiles(ValueAt, POSTGRESQL)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    value = f"({compiler.process(element.clauses, **kw)} ->> {element.place})"
    return f"CAST({value} AS BIGINT)" if isinstance(element.type, BigInteger) else value


class Columns(FunctionElement[str]):
    """All rows as one text: a JSON array of columns."""

    name = "columns"
    inherit_cache = True


@compiles(Columns)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    columns = (f"json_group_array({compiler.process(column, **kw)})" for column in element.clauses)
    return f"json_array({', '.join(columns)})"


@compiles(Columns, POSTGRESQL)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    columns = (f"COALESCE(json_agg({compiler.process(each, **kw)}), '[]')" for each in element.clauses)
    return f"CAST(json_build_array({', '.join(columns)}) AS TEXT)"


class NameIn(FunctionElement[str]):
    """The name in a workload's spec."""

    name = "name_in"
    inherit_cache = True
    type = Text()


# Only the name itself is unescaped: parameters of filters may hold what PostgreSQL has no text for.
_spell(NameIn, "json_extract({}, '$.name')", "((CAST({} AS json) -> 'name') #>> '{{}}')")


class PositionIn(FunctionElement[int]):
    """Where the second text begins in the first; 0 if it is not in it."""

    name = "position_in"
    inherit_cache = True
    type = BigInteger()


_spell(PositionIn, "instr({})", "strpos({})")


class ByBytes(FunctionElement[str]):
    """A text as it is ordered and compared byte by byte, whatever the database's locale is."""

    name = "by_bytes"
    inherit_cache = True
    type = Text()


_spell(ByBytes, "{}", '({} COLLATE "C")')


class InsertedInOrder(FunctionElement[int]):
    """What rows are ordered by that a statement inserts from ``given`` ones.

    SQLite takes them in their order by itself, and would sort them: there the clause is left out.
    """

    name = "inserted_in_order"
    inherit_cache = True
    type = BigInteger()


@compiles(InsertedInOrder)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    return ""


@compiles(InsertedInOrder, POSTGRESQL)
def _(element: Any, compiler: Any, **kw: Any) -> str:
    return str(compiler.process(element.clauses, **kw))


class LastJob(FunctionElement[int]):
    """The highest number that a job was ever given."""

    name = "last_job"
    inherit_cache = True
    type = BigInteger()


_spell(
    LastJob,
    "(SELECT seq FROM sqlite_sequence WHERE name = 'jobs')",
    "(SELECT CASE WHEN is_called THEN last_value ELSE 0 END FROM jobs_id_seq)",
)

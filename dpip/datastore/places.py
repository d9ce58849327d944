"""The places of a workload's images, found by name and sorted."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, select

from dpip.datastore.bulk import as_json, fetch, text
from dpip.datastore.engine import snapshot
from dpip.datastore.schema import images, jobs, workloads
from dpip.model import ImageType, PlaceOrder, PlaceSelection

_SLICE = 5_000  # rows decoded at once, see images.py

_of_workload = (workloads.c.public == bindparam("workload")) & workloads.c.deleted.is_(None)
_ORIGINALS = as_json(
    select(images.c.seq, images.c.name, images.c.size)
    .join(workloads, workloads.c.id == images.c.workload_id)
    .where(_of_workload, images.c.type == bindparam("type"), images.c.seq > bindparam("after"))
    .order_by(images.c.seq)
    .limit(bindparam("limit"))
)
_FAILED = as_json(
    select(jobs.c.seq, images.c.name, images.c.size)
    .join_from(jobs, images, images.c.id == jobs.c.original_id)
    .join(workloads, workloads.c.id == jobs.c.workload_id)
    .where(_of_workload, jobs.c.code.is_not(None), jobs.c.retried.is_(None), jobs.c.seq > bindparam("after"))
    .order_by(jobs.c.seq)
    .limit(bindparam("limit"))
)
_Row = tuple[int, str | None, int]


def places(connection: Connection, workload_id: str, which: PlaceSelection) -> Sequence[int]:
    snapshot(connection)
    statement = _FAILED if which.failed else _ORIGINALS
    wanted = which.name.casefold()
    found: list[_Row] = []
    after, full = -1, True
    while full:
        rows: Sequence[Any] = fetch(
            connection,
            statement,
            workload=text(workload_id),
            type=ImageType.ORIGINAL.value,
            after=after,
            limit=_SLICE,
        )
        found += [row for row in rows if wanted in (row[1] or "").casefold()]
        full = len(rows) == _SLICE
        after = rows[-1][0] if rows else after
    found.sort(key=_ORDERS[which.order], reverse=which.descending)
    return [seq for seq, _, _ in found]


def _by_name(row: _Row) -> tuple[Any, ...]:
    """Sort ``2.png`` before ``10.png``, and what has no name first."""
    parts = re.split(r"(\d+)", (row[1] or "").casefold())
    return (*[(int(part), "") if part.isdecimal() else (-1, part) for part in parts], (row[0], ""))


_ORDERS: dict[PlaceOrder, Callable[[_Row], Any]] = {
    PlaceOrder.SEQ: lambda row: row[0],
    PlaceOrder.NAME: _by_name,
    PlaceOrder.SIZE: lambda row: (row[2], row[0]),
}

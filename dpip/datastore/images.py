"""Images: rows added by uploads and results, and read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Column, Connection, Select, bindparam, func, insert, select

from dpip.datastore.bulk import as_json, execute, fetch, given, one, text
from dpip.datastore.engine import snapshot
from dpip.datastore.rows import FILE, file_row, image_of, micros, select_images
from dpip.datastore.schema import images, jobs, workloads
from dpip.model import RESULTS_PAGE, Failure, Image, ImageType, Results

_SLICE = 5_000
"""Rows decoded at once: some 3 ms in which the interpreter is not given up, and the reactor stands."""

_COLUMNS = ["public", "workload_id", "type", "seq", "created", *(column.name for column in FILE)]
_INSERT = insert(images).from_select(_COLUMNS, select(given(*_COLUMNS)))


def add(connection: Connection, new: Iterable[tuple[int, Image]]) -> None:
    """Insert ``(number of the workload's row, image)``."""
    rows = [
        [image.id, row, image.type, image.seq, micros(image.created_at), *file_row(image.file)]
        for row, image in new
    ]
    execute(connection, _INSERT, rows)


_SELECT = select_images()
_BY_ID = _SELECT.where(images.c.public == bindparam("image"))


def get(connection: Connection, image_id: str) -> Image | None:
    row = one(connection, _BY_ID, image=text(image_id))
    return None if row is None else image_of(row)


_BY_IDS = as_json(_SELECT.where(images.c.public.in_(select(given("public").c.public))))


def by_ids(connection: Connection, image_ids: Sequence[str]) -> Sequence[Image | None]:
    rows = fetch(connection, _BY_IDS, [(text(image_id),) for image_id in image_ids])
    found = {image.id: image for image in map(image_of, rows)}
    return [found.get(image_id) for image_id in image_ids]


def at(connection: Connection, workload_id: str, type: ImageType, seq: int) -> Image | None:
    found = page(connection, workload_id, type, seq - 1, 1)
    return found[0] if found and found[0].seq == seq else None


_of_type = (images.c.type == bindparam("type")) & (images.c.seq > bindparam("after"))
_of_workload = workloads.c.public == bindparam("workload")


def _in_order(statement: Select[Any], seq: Column[int] = images.c.seq) -> Select[Any]:
    return as_json(statement.order_by(seq).limit(bindparam("limit")))


_PAGE = _in_order(_SELECT.where(_of_workload, _of_type))


def page(
    connection: Connection, workload_id: str, type: ImageType, after: int | None, limit: int
) -> Sequence[Image]:
    last = -1 if after is None else after
    found = fetch(connection, _PAGE, workload=text(workload_id), type=type, after=last, limit=limit)
    return [image_of(row) for row in found]


_place = given("seq")
_AT = as_json(
    _SELECT.join(_place, images.c.seq == _place.c.seq)
    .where(_of_workload, images.c.type == bindparam("type"))
    .order_by(images.c.seq)
    .limit(bindparam("limit"))
)


def at_places(
    connection: Connection, workload_id: str, type: ImageType, seqs: Sequence[int]
) -> Sequence[Image]:
    rows = [[seq] for seq in set(seqs)]
    found = fetch(connection, _AT, rows, workload=text(workload_id), type=type.value, limit=len(rows))
    return [image_of(row) for row in found]


# What became of a workload's images, page by page

_ended = select(images.c.seq, images.c.public).join(workloads, workloads.c.id == images.c.workload_id)
_RESULTS = _in_order(
    _ended.where(_of_workload, workloads.c.deleted.is_(None), _of_type, images.c.seq <= bindparam("until"))
)
_FAILURES = _in_order(
    select(jobs.c.seq, images.c.public, images.c.name, jobs.c.code, jobs.c.detail)
    .join_from(jobs, images, images.c.id == jobs.c.original_id)
    .join(workloads, workloads.c.id == jobs.c.workload_id)
    .where(_of_workload, workloads.c.deleted.is_(None), jobs.c.code.is_not(None))
    .where(jobs.c.retried.is_(None), jobs.c.seq > bindparam("after"), jobs.c.seq <= bindparam("until")),
    jobs.c.seq,
)


def results(connection: Connection, workload_id: str, page: int) -> Results:
    snapshot(connection)
    first = page * RESULTS_PAGE
    place = {"after": first - 1, "until": first + RESULTS_PAGE - 1, "limit": RESULTS_PAGE}
    of: dict[str, Any] = {"workload": text(workload_id), **place}
    filtered = fetch(connection, _RESULTS, type=ImageType.FILTERED.value, **of)
    return Results(filtered, [Failure(*row) for row in fetch(connection, _FAILURES, **of)])


_page = (images.c.seq // RESULTS_PAGE).label("page")
_FILTERED_PAGES = as_json(
    select(_page, func.count().label("count"))
    .join_from(images, workloads, workloads.c.id == images.c.workload_id)
    .where(_of_workload, workloads.c.deleted.is_(None), images.c.type == bindparam("type"))
    .group_by(_page)
)
_failed_page = (jobs.c.seq // RESULTS_PAGE).label("page")
_FAILED_PAGES = as_json(
    select(_failed_page, (func.count() + func.count(jobs.c.retried)).label("count"))
    .join_from(jobs, workloads, workloads.c.id == jobs.c.workload_id)
    .where(_of_workload, workloads.c.deleted.is_(None), jobs.c.code.is_not(None))
    .group_by(_failed_page)
)


def endings(connection: Connection, workload_id: str) -> Sequence[tuple[int, int]]:
    """Pairs of a page and how many ends and retries its images have had; a page may come twice."""
    of = {"workload": text(workload_id)}
    filtered = fetch(connection, _FILTERED_PAGES, type=ImageType.FILTERED.value, **of)
    return [*filtered, *fetch(connection, _FAILED_PAGES, **of)]


# Whole workloads, slice by slice

_present = select(images.c.seq).join(workloads, workloads.c.id == images.c.workload_id)
_present = _present.where(workloads.c.deleted.is_(None), _of_type)
_PATHS = _in_order(_present.add_columns(images.c.path).where(workloads.c.directory == bindparam("directory")))


def _all(connection: Connection, statement: Select[Any], **parameters: str) -> Iterator[tuple[Any, ...]]:
    """Every row of a statement whose rows begin with their ``seq``."""
    after, full = -1, True
    while full:
        found = fetch(connection, statement, after=after, limit=_SLICE, **parameters)
        yield from found
        full = len(found) == _SLICE
        after = found[-1][0] if found else after


def paths(connection: Connection, directory: str) -> frozenset[str]:
    snapshot(connection)
    return frozenset(
        path
        for type in ImageType
        for _, path in _all(connection, _PATHS, directory=text(directory), type=type.value)
    )

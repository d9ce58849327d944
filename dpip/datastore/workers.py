"""Workers that are joined, and those that once were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import asdict, filters
from sqlalchemy import Connection, delete, func, insert, select, update

from dpip.datastore.bulk import text
from dpip.datastore.certificates import check, refuse_newcomer
from dpip.datastore.dialects import ByBytes
from dpip.datastore.rows import micros, seconds, seconds_or_none
from dpip.datastore.schema import certificates, workers
from dpip.errors import Conflict, NotFound
from dpip.model import WorkerInfo, WorkerRecord


def joined(connection: Connection, info: WorkerInfo, address: str, now: float, serial: str) -> None:
    check(connection, serial, info.name, now)
    facts = {
        "info": _info_to_json(info),
        "fingerprint": info.fingerprint,
        "address": address,
        "last_seen": micros(now),
        "joined": True,
    }
    known = update(workers).where(workers.c.name == info.name).values(**facts)
    if connection.execute(known).rowcount == 0:
        refuse_newcomer(connection, info.name, address, now)
        connection.execute(insert(workers).values(name=info.name, first_seen=micros(now), **facts))


def left(connection: Connection, name: str, now: float) -> None:
    gone = update(workers).where(workers.c.name == name)
    connection.execute(gone.values(joined=False, last_seen=micros(now)))


def all_left(connection: Connection, now: float) -> None:
    gone = update(workers).where(workers.c.joined)
    connection.execute(gone.values(joined=False, last_seen=micros(now)))


def forget(connection: Connection, name: str) -> None:
    row = connection.execute(
        select(workers.c.joined, workers.c.revoked, workers.c.suspended).where(workers.c.name == text(name))
    ).one_or_none()
    if row is None:
        raise NotFound(f"No worker named {name[:64]!r} has ever joined.")
    if row.joined:
        raise Conflict(f"The worker {name} has joined: drain it first.")
    if row.revoked is not None or row.suspended is not None:
        raise Conflict(f"The worker {name} is kept out, which its record remembers: it stays for 90 days.")
    connection.execute(delete(workers).where(workers.c.name == text(name)))


def seen(connection: Connection, now: float) -> None:
    connection.execute(update(workers).where(workers.c.joined).values(last_seen=micros(now)))


def count_gone(connection: Connection) -> int:
    return connection.scalar(select(func.count()).where(~workers.c.joined)) or 0


def page(
    connection: Connection, joined: bool | None, after: str | None, limit: int | None
) -> Sequence[WorkerRecord]:
    wanted = select(workers, _CERTIFIED).order_by(ByBytes(workers.c.name)).limit(limit)
    if joined is not None:
        wanted = wanted.where(workers.c.joined.is_(joined))
    if after is not None:
        wanted = wanted.where(ByBytes(workers.c.name) > after)
    return [
        WorkerRecord(
            info=_info_of(row.name, row.info),
            address=row.address,
            first_seen=seconds(row.first_seen),
            last_seen=seconds(row.last_seen),
            joined=row.joined,
            done=row.done,
            failed=row.failed,
            offences=row.offences,
            suspended_until=seconds_or_none(row.suspended),
            revoked_at=seconds_or_none(row.revoked),
            certified_until=seconds_or_none(row.certified),
        )
        for row in connection.execute(wanted)
    ]


_CERTIFIED = (
    select(func.max(certificates.c.expires))
    .where(certificates.c.worker == workers.c.name, certificates.c.revoked.is_(None))
    .scalar_subquery()
    .label("certified")
)


def _info_to_json(info: WorkerInfo) -> str:
    facts = asdict(info, filter=filters.exclude("name"))
    return json.dumps(facts | {"tags": sorted(info.tags)})


def _info_of(name: str, value: str) -> WorkerInfo:
    facts: dict[str, Any] = json.loads(value)
    return WorkerInfo(name=name, tags=frozenset(facts.pop("tags")), **facts)

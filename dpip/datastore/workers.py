"""Workers that are joined, and those that once were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from attrs import asdict, filters
from sqlalchemy import Connection, func, insert, select, update

from dpip.datastore.certificates import check
from dpip.datastore.rows import micros, seconds, seconds_or_none
from dpip.datastore.schema import certificates, workers
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
        connection.execute(insert(workers).values(name=info.name, first_seen=micros(now), **facts))


def left(connection: Connection, name: str, now: float) -> None:
    gone = update(workers).where(workers.c.name == name)
    connection.execute(gone.values(joined=False, last_seen=micros(now)))


def all_workers(connection: Connection) -> Sequence[WorkerRecord]:
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
        for row in connection.execute(select(workers, _CERTIFIED).order_by(workers.c.name))
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

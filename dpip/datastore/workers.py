"""Workers that are joined, and those that once were."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, func, insert, select, update

from dpip.datastore.certificates import check
from dpip.datastore.rows import micros, seconds
from dpip.datastore.schema import certificates, workers
from dpip.model import WorkerInfo, WorkerRecord


def joined(connection: Connection, info: WorkerInfo, address: str, now: float, serial: str) -> None:
    """By the certificate of that serial number. Raises BadCertificate, WorkerSuspended."""
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
            suspended_until=_time(row.suspended),
            revoked_at=_time(row.revoked),
            certified_until=_time(row.certified),
        )
        for row in connection.execute(select(workers, _CERTIFIED).order_by(workers.c.name))
    ]


_CERTIFIED = (
    select(func.max(certificates.c.expires))
    .where(certificates.c.worker == workers.c.name, certificates.c.revoked.is_(None))
    .scalar_subquery()
    .label("certified")
)


def _time(at: int | None) -> float | None:
    return None if at is None else seconds(at)


def _info_to_json(info: WorkerInfo) -> str:
    return json.dumps(
        {
            "version": info.version,
            "machine": info.machine,
            "slots": info.slots,
            "capacity": info.capacity,
            "tags": sorted(info.tags),
            "filters": info.filters,
            "has_gpu": info.has_gpu,
            "fingerprint": info.fingerprint,
        }
    )


def _info_of(name: str, value: str) -> WorkerInfo:
    facts: dict[str, Any] = json.loads(value)
    return WorkerInfo(name=name, tags=frozenset(facts.pop("tags")), **facts)

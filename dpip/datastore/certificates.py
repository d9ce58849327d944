"""Which certificates workers were given, which of them are revoked, and who is kept out for a while."""

from __future__ import annotations

from datetime import UTC, datetime

from sqlalchemy import Connection, exists, insert, select, update

from dpip.datastore.rows import micros, seconds
from dpip.datastore.schema import certificates, workers
from dpip.errors import BadCertificate, NotFound, WorkerRevoked, WorkerSuspended
from dpip.model import CertificateRecord


def issue(connection: Connection, new: CertificateRecord, token_made: float) -> None:
    revoked = connection.scalar(select(workers.c.revoked).where(workers.c.name == new.worker))
    if revoked is not None and micros(token_made) < revoked:
        raise WorkerRevoked(
            f"An admin has revoked the worker {new.worker}: only a join token made since then lets it in. "
            "They make one with: dpip join-token rotate."
        )
    refuse_newcomer(connection, new.worker, new.address, new.issued_at)
    _add(connection, new)
    if revoked is not None:
        connection.execute(update(workers).where(workers.c.name == new.worker).values(revoked=None))


def renew(connection: Connection, new: CertificateRecord, last: str) -> None:
    _check(connection, last, new.worker)
    _add(connection, new)


def check(connection: Connection, serial: str, worker: str, now: float) -> None:
    """Raises BadCertificate, WorkerSuspended when the worker may not join with this certificate."""
    _check(connection, serial, worker)
    suspended = connection.scalar(select(workers.c.suspended).where(workers.c.name == worker))
    if suspended is not None and micros(now) < suspended:
        until = datetime.fromtimestamp(seconds(suspended), UTC)
        raise WorkerSuspended(
            f"The worker {worker} has sent what no honest worker sends, too often: it may not join before "
            f"{until:%Y-%m-%d %H:%M:%S} UTC."
        )


def refuse_newcomer(connection: Connection, worker: str, address: str, now: float) -> None:
    """Raises WorkerSuspended for a worker that never joined, if one from its host is suspended.

    A new name costs nothing, nor does a new key: whoever has the join token can make both. Workers of that
    host that had joined before may join.
    """
    host, _, _ = address.rpartition(":")
    if connection.scalar(select(exists().where(workers.c.name == worker))):
        return
    kept_out = (workers.c.suspended > micros(now)) & workers.c.address.startswith(f"{host}:", autoescape=True)
    other = connection.execute(select(workers.c.name, workers.c.suspended).where(kept_out)).first()
    if other is not None:
        until = datetime.fromtimestamp(seconds(other.suspended), UTC)
        raise WorkerSuspended(
            f"The worker {other.name}, on the same host, has sent what no honest worker sends, too often: no "
            f"new worker may join from there before {until:%Y-%m-%d %H:%M:%S} UTC."
        )


def revoke(connection: Connection, name: str, now: float) -> int:
    known = update(workers).where(workers.c.name == name).values(revoked=micros(now))
    if connection.execute(known).rowcount == 0:
        raise NotFound(f"No worker named {name[:64]!r} has ever joined.")
    good = (certificates.c.worker == name) & certificates.c.revoked.is_(None)
    good &= certificates.c.expires > micros(now)
    return connection.execute(update(certificates).where(good).values(revoked=micros(now))).rowcount


def offended(connection: Connection, name: str, suspended_until: float | None) -> None:
    values: dict[str, object] = {"offences": workers.c.offences + 1}
    if suspended_until is not None:
        values["suspended"] = micros(suspended_until)
    connection.execute(update(workers).where(workers.c.name == name).values(values))


def _add(connection: Connection, new: CertificateRecord) -> None:
    connection.execute(
        insert(certificates).values(
            serial=new.serial,
            worker=new.worker,
            address=new.address,
            issued=micros(new.issued_at),
            expires=micros(new.expires_at),
        )
    )


def _check(connection: Connection, serial: str, worker: str) -> None:
    mine = (certificates.c.serial == serial) & (certificates.c.worker == worker)
    if not connection.scalar(select(exists().where(mine & certificates.c.revoked.is_(None)))):
        raise BadCertificate("The worker's certificate has been revoked, or was never this worker's.")

"""The tables. Numbers inside, text outside: ``id`` joins rows, ``public`` is the id that people see.

Times are whole microseconds since the epoch, so that they pass through JSON and back unchanged; sizes are
bytes. Every change here needs a migration (``migrations/versions``): a test compares the two.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    Column,
    ColumnElement,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
)

metadata = MetaData()

Number = BigInteger().with_variant(Integer, "sqlite")  # SQLite numbers rows only in an INTEGER PRIMARY KEY


def _id() -> Column[int]:
    return Column("id", Number, primary_key=True)


def _text(name: str, **options: Any) -> Column[str]:
    return Column(name, Text, nullable=False, **options)


def _number(name: str, default: int | None = None) -> Column[int]:
    return Column(name, Number, nullable=False, server_default=None if default is None else str(default))


def _belongs_to(name: str, table: str, **options: Any) -> Column[int]:
    return Column(name, Number, ForeignKey(f"{table}.id", ondelete="CASCADE"), nullable=False, **options)


def _partial_index(name: str, *columns: Column[Any], where: ColumnElement[bool]) -> None:
    """For SQLite alone: to name the condition for PostgreSQL, too, would load that dialect at every start."""
    Index(name, *columns, sqlite_where=where)


users = Table(
    "users",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("role"),
    _text("password_hash"),
    _number("created"),
    Column("quota", Number),
    _number("used", 0),
    _number("reserved", 0),  # for the results of jobs that have not ended
)

tokens = Table(
    "tokens",
    metadata,
    Column("digest", LargeBinary, primary_key=True),
    _belongs_to("user_id", "users", index=True),
    _number("created"),
    Column("expires", Number, nullable=False, index=True),
    Column("name", Text),  # empty for what a login gave
    sqlite_with_rowid=False,
)

workloads = Table(
    "workloads",
    metadata,
    _id(),
    _text("public", unique=True),
    # Empty once the owner has been removed: then the row is a tombstone.
    Column("owner_id", Number, ForeignKey("users.id", ondelete="SET NULL"), index=True),
    _text("spec"),  # JSON, see rows.py
    _text("directory", unique=True),
    _number("created"),
    _number("accepted", 0),
    _number("filtered", 0),
    _number("failed", 0),
    _number("size", 0),
    _number("next_seq", 0),
    _number("version", 0),
    Column("finished", Number),
    Column("deleted", Number),
    _number("retried", 0),
    Column("sealed", Number),
    _number("reserved", 0),
    _number("noticed", 0),
    _number("idle", 0),  # microseconds that it lay completed before it was opened again
)
# Partial indexes serve the statements that name their condition in plain SQL, and leave all others alone: an
# index on all of ``deleted`` or ``state`` makes SQLite begin with all that are present, or all that wait.
_present = workloads.c.deleted.is_(None)
_deleted = workloads.c.deleted.is_not(None)
_partial_index("workloads_deleted", workloads.c.deleted, where=_deleted)
_unfinished = _present & workloads.c.finished.is_(None)
_partial_index("workloads_unfinished", workloads.c.owner_id, where=_unfinished)
_partial_index("workloads_finished", workloads.c.finished, where=_present)
_partial_index("workloads_present", workloads.c.owner_id, where=_present)
EMPTY = _present & (workloads.c.accepted == literal_column("0"))
_partial_index("workloads_empty", workloads.c.owner_id, where=EMPTY)
_partial_index("workloads_empty_since", workloads.c.created, where=EMPTY)

# What a user has put by under a name, for later workloads.
presets = Table(
    "presets",
    metadata,
    _id(),
    _belongs_to("owner_id", "users"),
    _text("name"),
    _text("spec"),  # JSON, see presets.py
    _number("created"),
    UniqueConstraint("owner_id", "name", name="presets_name"),
)

# Tombstones whose images still have rows: these go a slice at a time, see purge.py.
purges = Table("purges", metadata, _belongs_to("workload_id", "workloads", primary_key=True))

images = Table(
    "images",
    metadata,
    _id(),
    _text("public", unique=True),
    _belongs_to("workload_id", "workloads"),
    _text("type"),
    _number("seq"),
    _text("path"),
    _number("size"),
    _text("sha256"),
    _text("format"),
    _text("content_type"),
    _number("width"),
    _number("height"),
    _number("memory"),
    Column("name", Text),
    _number("created"),
    Column("notices", Text),  # JSON; most results have none
    _number("channels", 4),
    _number("bits", 16),
    UniqueConstraint("workload_id", "type", "seq", name="images_place"),
)

# Job numbers are the scheduler's own names for jobs: never used twice, hence AUTOINCREMENT.
jobs = Table(
    "jobs",
    metadata,
    _id(),
    _number("workload_id"),  # the original's own, repeated here to spare a join
    _belongs_to("original_id", "images", index=True),
    _number("seq"),
    _text("result"),  # public id reserved for the result
    _text("state"),
    _number("pixels"),
    _number("memory"),
    _number("attempt", 0),
    _number("crashes", 0),
    _number("losses", 0),
    Column("nonce", Text),  # these three while leased
    Column("worker", Text),
    Column("leased", Number),
    Column("code", Text),  # these two when failed
    Column("detail", Text),
    Column("retried", Number),  # when a failed job got a successor; it stays for the record
    _number("reserved", 0),  # bytes that the result may take
    sqlite_autoincrement=True,
)
WAITING = jobs.c.state == literal_column("'waiting'")
LEASED = jobs.c.state == literal_column("'leased'")
_partial_index("jobs_waiting", jobs.c.id, where=WAITING)
_partial_index("jobs_leased", jobs.c.id, where=LEASED)
_with_code = jobs.c.code.is_not(None)
_partial_index("jobs_failed", jobs.c.workload_id, jobs.c.seq, where=_with_code)

# One row for each attempt that has ended; the one under way is in its job.
attempts = Table(
    "attempts",
    metadata,
    _belongs_to("job_id", "jobs", primary_key=True),
    Column("attempt", Number, primary_key=True),
    _text("nonce"),
    _text("worker"),
    Column("fingerprint", Text),  # of the worker's engine: equal ones give equal bytes
    _number("started"),
    _number("ended"),
    _text("outcome"),
    sqlite_with_rowid=False,
)

# Who is told when a sealed workload has completed: ``due`` while that is still to be done.
webhooks = Table(
    "webhooks",
    metadata,
    _belongs_to("workload_id", "workloads", primary_key=True),
    _text("url"),
    _text("secret"),  # as it is: it signs
    _number("attempts", 0),
    Column("due", Number, server_default="0"),
)
PENDING = webhooks.c.due.is_not(None)
_partial_index("webhooks_due", webhooks.c.due, where=PENDING)

deliveries = Table(
    "deliveries",
    metadata,
    _id(),
    _belongs_to("workload_id", "workloads", index=True),
    _number("at"),
    _number("attempt"),
    Column("status", Number),  # of the answer, if there was one
    Column("error", Text),
)

workers = Table(
    "workers",
    metadata,
    _id(),
    _text("name", unique=True),
    _text("info"),  # JSON, see workers.py
    _text("fingerprint"),
    _text("address"),
    _number("first_seen"),
    _number("last_seen"),
    Column("joined", Boolean, nullable=False),
    _number("done", 0),
    _number("failed", 0),
    Column("revoked", Number),  # when an admin has; gone with the next certificate
    Column("suspended", Number, index=True),  # it may not join before
    _number("offences", 0),
)
Index("workers_seen", workers.c.joined, workers.c.last_seen)

certificates = Table(
    "certificates",
    metadata,
    _id(),
    _text("serial", unique=True),  # hex
    _text("worker", index=True),  # its name
    _text("address"),
    _number("issued"),
    Column("expires", Number, nullable=False, index=True),
    Column("revoked", Number),
)

activity = Table(
    "activity",
    metadata,
    _id(),
    Column("at", Number, nullable=False, index=True),
    _text("actor"),
    _text("action"),
    _text("subject"),
    _text("detail"),  # JSON
    sqlite_autoincrement=True,
)

keys = Table(
    "keys",
    metadata,
    _id(),
    _belongs_to("owner_id", "users"),
    _text("key"),
    _text("fingerprint"),
    _text("answer"),  # JSON, see idempotency_keys.py
    Column("created", Number, nullable=False, index=True),
    UniqueConstraint("owner_id", "key", name="keys_name"),
)

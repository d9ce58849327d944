"""Connections to the SQLite file, and what the errors of databases mean to people."""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.pool import QueuePool

from dpip.datastore import postgres_errors
from dpip.errors import DiskFull, DpipError, RetryLater
from dpip.runtime.platform import sync_folder

_BUSY_SECONDS = 10  # for a command that writes beside the running controller
_SETTINGS = {
    "journal_mode": "WAL",
    "foreign_keys": "ON",
    "temp_store": "MEMORY",
    # A checkpoint copies the log into the database and fsyncs that, within somebody's commit: at 16 MiB of
    # log instead of 4 it comes a quarter as often, and pages written more than once are copied once.
    "wal_autocheckpoint": "4096",
    "journal_size_limit": str(64 << 20),
    "fullfsync": "ON",  # on macOS a commit's fsync reaches the disk only so; elsewhere it changes nothing
    "checkpoint_fullfsync": "ON",
}


def writing(path: Path, synchronous: str = "FULL") -> Engine:
    """One connection; each of its transactions takes the write lock at once, so it can never have to give up.

    With ``synchronous`` FULL a commit is durable: in WAL mode NORMAL may lose the last ones at a power loss.
    """
    settings = {**_SETTINGS, "synchronous": synchronous, "cache_size": str(-64 << 10)}
    return _locking(_engine(path, 1, settings))


def migrating(path: Path) -> Engine:
    """As :func:`writing`, without foreign keys: SQLite changes a table by making another in its place."""
    return _locking(_engine(path, 1, {**_SETTINGS, "synchronous": "FULL", "foreign_keys": "OFF"}))


def _locking(engine: Engine) -> Engine:
    @event.listens_for(engine, "begin")
    def take_the_lock(connection: Connection) -> None:
        connection.connection.cursor().execute("BEGIN IMMEDIATE")

    return engine


def reading(path: Path, connections: int) -> Engine:
    """Connections that cannot write; each statement sees the last commit (see :func:`snapshot`)."""
    return _engine(path, connections, {**_SETTINGS, "query_only": "ON", "cache_size": str(-16 << 10)})


def snapshot(connection: Connection) -> None:
    """Let all further statements see the same commit, until the connection is given back."""
    sqlite = connection.dialect.name == "sqlite"
    connection.exec_driver_sql("BEGIN" if sqlite else "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")


def _engine(path: Path, connections: int, settings: dict[str, str]) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=connections,
        max_overflow=0,
        connect_args={"check_same_thread": False, "timeout": _BUSY_SECONDS},
    )

    @event.listens_for(engine, "connect")
    def set_up(connection: sqlite3.Connection, _: Any) -> None:
        connection.isolation_level = None  # transactions begin where we say so
        for name, value in settings.items():
            connection.execute(f"PRAGMA {name} = {value}")

    return engine


def create_file(path: Path) -> bool:
    """Make an empty database file that only its owner can read; False when there is one already."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        path.touch(0o600, exist_ok=False)
    except FileExistsError:
        return False
    sync_folder(path.parent)
    sync_folder(path.parent.parent)
    return True


def explained(error: Exception) -> DpipError | None:
    """The error as the caller should see it when the machine has failed; None when it is a bug of ours."""
    cause = getattr(error, "orig", error)
    if hasattr(cause, "sqlstate"):
        return postgres_errors.explained(cause)
    code = getattr(cause, "sqlite_errorcode", 0) & 0xFF  # the primary one
    if code == sqlite3.SQLITE_FULL:
        return DiskFull("The disk that holds the database is full. Nothing was changed.")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return RetryLater("The database is busy with another process. Nothing was changed; try again.")
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY):
        return RetryLater("The database could not be written. The server's log says why.", retry_after=5)
    return None

"""Where the rows are: in a SQLite file, or in a PostgreSQL database (:mod:`dpip.datastore.postgres`)."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from attrs import frozen
from sqlalchemy import Engine

from dpip.datastore import engine, migrate


class Database(Protocol):
    """What a datastore needs of its database."""

    def prepare(self) -> None:
        """Make the tables, or bring them to this version's. Raises UnknownDatabase, DiskFull, RetryLater."""

    def writing(self) -> Engine:
        """One connection, each of whose transactions waits until no other one writes."""

    def reading(self, connections: int) -> Engine:
        """Connections that cannot write; each statement sees the last commit."""


@frozen
class SqliteDatabase:
    """The file at ``path``, which ``prepare`` makes when it is not there."""

    path: Path

    def prepare(self) -> None:
        migrate.prepare(self.path)

    def writing(self) -> Engine:
        return engine.writing(self.path)

    def reading(self, connections: int) -> Engine:
        return engine.reading(self.path, connections)


def database_of(place: Path | Database) -> Database:
    """The database itself, or the one in the SQLite file of that name."""
    return SqliteDatabase(place) if isinstance(place, Path) else place

"""The datastore in a PostgreSQL database, and what its errors mean to people.

libpq reads the URL, so that what works with ``psql`` works here: several hosts, TLS, a service file, a
password from ``PGPASSWORD`` or ``~/.pgpass``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import define, field
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.pool import Pool, QueuePool

from dpip.datastore import migrate, postgres_errors, shared_secrets
from dpip.datastore.dialects import POSTGRESQL
from dpip.datastore.engine import explained
from dpip.datastore.leadership import Leadership, OneSession
from dpip.datastore.postgres_checks import check, check_pooling, warnings
from dpip.datastore.postgres_errors import UnusableDatabase
from dpip.datastore.schema import metadata

_WRITERS = 7331
"""Names the advisory lock of the transaction that writes: there is one at a time, as in SQLite."""
_CONNECT_SECONDS = 5
_SILENT_SECONDS = 10
"""After this time without a word from a session, or from us, the other end gives it up."""
_TRANSPORT: dict[str, str | int] = {
    "connect_timeout": _CONNECT_SECONDS,
    "keepalives_idle": 3,
    "keepalives_interval": 1,
    "keepalives_count": 5,
    "tcp_user_timeout": 1000 * _SILENT_SECONDS,
    "application_name": "dpip",
    "client_encoding": "UTF8",
}
_LEADING = (
    f"SET idle_session_timeout = '{_SILENT_SECONDS}s'",
    f"SET idle_in_transaction_session_timeout = '{_SILENT_SECONDS}s'",
    "SET tcp_keepalives_idle = 5",
    "SET tcp_keepalives_interval = 1",
    "SET tcp_keepalives_count = 5",
    f"SET tcp_user_timeout = '{_SILENT_SECONDS}s'",
)
_TABLES = text("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
_DURABLE = "SET synchronous_commit = on"
_READ_ONLY = "SET default_transaction_read_only = on"


@contextmanager
def in_words() -> Iterator[None]:
    """Raise what errors of the driver mean to people, where they are not bugs."""
    try:
        yield
    except Exception as error:
        if (reason := explained(error)) is not None:
            raise reason from error
        raise


@define(eq=False)
class PostgresDatabase:
    """The database at ``url``. With a ``leadership`` only the session that holds its lock writes."""

    url: str
    leadership: Leadership | None = None
    _leading: Engine | None = field(default=None, init=False)

    def connect(self, *settings: str) -> Any:
        """A new session of psycopg's, outside of any transaction. Raises UnusableDatabase, RetryLater."""
        psycopg = _psycopg()
        try:
            session = psycopg.connect(self._conninfo(), autocommit=True)
            for setting in (_DURABLE, *settings):
                session.execute(setting)
        except psycopg.Error as error:
            raise postgres_errors.not_connected(error) from error
        return session

    def _conninfo(self) -> str:
        from psycopg import ProgrammingError
        from psycopg.conninfo import conninfo_to_dict, make_conninfo

        try:
            given = conninfo_to_dict(self.url)
        except ProgrammingError as error:
            raise UnusableDatabase(
                f"The database's URL is wrong: {postgres_errors.sentence(error)}"
            ) from None
        defaults: dict[str, str | int] = {**_TRANSPORT, "target_session_attrs": "read-write"}
        return make_conninfo(
            self.url, **{name: value for name, value in defaults.items() if name not in given}
        )

    def lead(self) -> bool:
        """Try to become the one that writes, at most for a few seconds; whether it is so now.

        Raises UnusableDatabase, RetryLater.
        """
        assert self.leadership is not None
        with in_words():
            return self.leadership.acquire(self._candidate)

    def _candidate(self) -> Any:
        """A session that may come to lead, on a server that was looked at."""
        session = self.connect(*_LEADING)
        check(session)
        check_pooling(session, self.connect)
        return session

    def look(self) -> tuple[str, Sequence[str]]:
        """The server's version, and what its owner should know. Raises UnusableDatabase, RetryLater."""
        session = self.connect()
        try:
            with in_words():
                check(session)
                check_pooling(session, self.connect)
                return session.info.parameter_status("server_version"), list(warnings(session))
        finally:
            session.close()

    def prepare(self, head: str = migrate.HEAD, scripts: Path = migrate.SCRIPTS) -> None:
        """Make the tables or upgrade them, in one transaction. Raises UnknownDatabase, DiskFull, RetryLater,
        UnusableDatabase."""
        _name_conditions()
        engine = self.writing()
        try:
            with in_words(), engine.begin() as connection:
                check(connection.connection.driver_connection)
                tables = connection.scalars(_TABLES).all()
                shared = [name for name in tables if name != shared_secrets.secrets.name]
                migrate.bring_to(head, connection, shared, "The database", scripts)
                shared_secrets.metadata.create_all(connection)
        finally:
            engine.dispose()

    def writing(self) -> Engine:
        if self.leadership is None:
            return _writing(_pool(self.connect, 1))
        if self._leading is None:
            self._leading = _engine(OneSession(self.leadership))
            event.listen(self._leading, "begin", self._begin_leading)
        return self._leading

    def _begin_leading(self, connection: Connection) -> None:
        """Begin; the answer to that is the session's sign of life, too."""
        assert self.leadership is not None
        sent = self.leadership.clock()
        _begin_writing(connection)
        self.leadership.confirm(sent)

    def reading(self, connections: int) -> Engine:
        return _engine(_pool(lambda: self.connect(_READ_ONLY), connections))


def _pool(connect: Callable[[], Any], size: int) -> Pool:
    return QueuePool(connect, pool_size=size, max_overflow=0)


def _engine(pool: Pool) -> Engine:
    """Sessions are in psycopg's autocommit mode: a transaction begins only where we say so."""
    engine = create_engine(f"{POSTGRESQL}+psycopg://", pool=pool, use_native_hstore=False)
    event.listen(engine, "checkout", _refuse_lost)
    return engine


def _writing(pool: Pool) -> Engine:
    engine = _engine(pool)
    event.listen(engine, "begin", _begin_writing)
    return engine


def _begin_writing(connection: Connection) -> None:
    """Begin, in one round trip, and wait for the end of any other transaction that writes."""
    connection.connection.cursor().execute(f"BEGIN; SELECT pg_advisory_xact_lock({_WRITERS})")


def _refuse_lost(session: Any, *_: Any) -> None:
    """The pool opens another session instead of one that was lost when we were not looking."""
    if session.closed:
        raise DisconnectionError


def _psycopg() -> Any:
    try:
        import psycopg
    except ImportError:
        raise UnusableDatabase(
            "PostgreSQL needs psycopg, which is not installed: pip install 'dpip[postgres]'."
        ) from None
    return psycopg


def _name_conditions() -> None:
    """Give PostgreSQL the conditions of SQLite's partial indexes."""
    for table in metadata.tables.values():
        for index in table.indexes:
            index.dialect_options[POSTGRESQL]["where"] = index.dialect_options["sqlite"]["where"]

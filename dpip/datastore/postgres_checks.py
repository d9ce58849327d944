"""What a PostgreSQL server must be before DPIP uses it, and what its owner should know."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

from dpip.datastore.postgres_errors import UnusableDatabase

OLDEST: Final = 14
"""The first version that ends sessions which have become silent."""


def check(session: Any) -> None:
    """Raises UnusableDatabase for a server that is too old, or one whose database is not in UTF-8."""
    version = session.info.server_version // 10_000
    if version < OLDEST:
        raise UnusableDatabase(f"The server is PostgreSQL {version}: DPIP needs {OLDEST} or later.")
    encoding = session.info.parameter_status("server_encoding")
    if encoding != "UTF8":
        raise UnusableDatabase(
            f"The database's encoding is {encoding}, DPIP needs UTF8: CREATE DATABASE … ENCODING 'UTF8' "
            "TEMPLATE template0."
        )


def check_pooling(session: Any, connect: Callable[[], Any]) -> None:
    """Raises UnusableDatabase behind a pooler, such as PgBouncer, that gives each transaction any session."""
    own = _process(session)
    if own == session.info.backend_pid:
        return  # the server itself has answered, without a pooler between
    other = connect()
    try:
        other.execute("BEGIN")
        shared = _process(other) == own
        other.execute("COMMIT")
    finally:
        other.close()
    if shared or _process(session) != own:
        raise UnusableDatabase(
            "The database is behind PgBouncer or the like in transaction mode, where a lock does not stay "
            "with the session that leads: connect to the server itself, or to a pool with "
            "pool_mode = session."
        )


def _process(session: Any) -> int:
    [[process]] = session.execute("SELECT pg_backend_pid()").fetchall()
    return int(process)


def warnings(session: Any) -> Iterator[str]:
    """What may lose commits that were answered."""
    if _setting(session, "fsync") == "off":
        yield "The database server's fsync is off: a power loss may lose or spoil everything."
    [[replicas]] = session.execute("SELECT count(*) FROM pg_stat_replication").fetchall()
    if replicas and not _setting(session, "synchronous_standby_names"):
        yield (
            "The database has a replica that is not synchronous: whoever promotes it loses the last commits, "
            "and with them images that were accepted. Set synchronous_standby_names on the server."
        )


def _setting(session: Any, name: str) -> str:
    [[value]] = session.execute(f"SHOW {name}").fetchall()
    return str(value)

"""Bring a database to this version's tables before anything else touches it.

The usual case, one that is up to date, costs one small query: Alembic, which takes 0.3 s to import, comes
in only when there is something to migrate.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection
from contextlib import closing
from pathlib import Path

from sqlalchemy import Connection, text
from sqlalchemy.exc import DatabaseError

from dpip.datastore.engine import create_file, explained, migrating
from dpip.datastore.schema import metadata
from dpip.errors import DpipError
from dpip.runtime.platform import sync_folder

HEAD = "0010"
_BACKUPS = 3
"""Copies of earlier revisions that are kept beside the database; the newest are of the highest ones."""
SCRIPTS = Path(__file__).with_name("migrations")


class UnknownDatabase(DpipError):
    """The file was written by a later version of DPIP, or by something else."""

    code = "unknown-database"
    title = "A database that this version of DPIP does not know"


def prepare(path: Path, head: str = HEAD, scripts: Path = SCRIPTS) -> None:
    """Create the database, or upgrade it after a copy beside it.

    All is one transaction under the write lock: a kill at any moment leaves the old tables or the new ones,
    and of two processes that start at once one finds the other's work.

    Raises UnknownDatabase, DiskFull, RetryLater.
    """
    create_file(path)
    engine = migrating(path)
    try:
        with engine.begin() as connection:
            statement = text("SELECT name FROM sqlite_master WHERE type = 'table'")
            tables = connection.scalars(statement).all()
            upgraded = bring_to(
                head, connection, tables, str(path), scripts, lambda found: _copy_beside(path, found)
            )
            if upgraded and (broken := connection.execute(text("PRAGMA foreign_key_check")).all()):
                raise RuntimeError(f"The migration left {len(broken)} rows that refer to nothing")
    except DatabaseError as error:
        if getattr(error.orig, "sqlite_errorcode", None) == sqlite3.SQLITE_NOTADB:
            raise UnknownDatabase(f"{path} is not a database. Name another file.") from error
        if (reason := explained(error)) is not None:
            raise reason from error
        raise
    finally:
        engine.dispose()


def bring_to(
    head: str,
    connection: Connection,
    tables: Collection[str],
    name: str,
    scripts: Path,
    before_upgrade: Callable[[str], None] = lambda found: None,
) -> bool:
    """Make the tables of ``head`` in the caller's transaction, or upgrade ``tables``, those that there are;
    whether they were upgraded.

    Raises UnknownDatabase.
    """
    found = revision(connection, tables, name)
    if found is None:
        _create(connection, head)
    if found in (None, head):
        return False
    _check_known(str(found), name, scripts)
    before_upgrade(str(found))
    run_migrations(connection, scripts)
    return True


def revision(connection: Connection, tables: Collection[str], name: str) -> str | None:
    """The revision of the database's tables, or None when it has none. Raises UnknownDatabase."""
    if not tables:
        return None
    if "alembic_version" not in tables:
        raise UnknownDatabase(f"{name} is a database, but not one of DPIP's. Name another one.")
    found: str = connection.execute(text("SELECT version_num FROM alembic_version")).scalar_one()
    return found


def _create(connection: Connection, head: str) -> None:
    """Make the newest tables at once; a test holds the migrations to the same result."""
    metadata.create_all(connection)
    connection.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
    connection.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": head})


def _check_known(found: str, name: str, scripts: Path) -> None:
    from alembic.script import ScriptDirectory

    known = {script.revision for script in ScriptDirectory(str(scripts)).walk_revisions()}
    if found not in known:
        raise UnknownDatabase(
            f"{name} was written by a later version of DPIP: its tables are of revision {found}, this one "
            f"knows up to {max(known)}. Run that version or a later one; nothing was changed."
        )


def _copy_beside(path: Path, found: str) -> None:
    copy_database(path, path.with_name(f"{path.name}.{found}.backup"))
    for older in sorted(path.parent.glob(f"{path.name}.*.backup"))[:-_BACKUPS]:
        older.unlink()


def run_migrations(connection: Connection, scripts: Path, to: str = "head") -> None:
    """Run those up to ``to`` that have not been run, within the caller's transaction."""
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(scripts).replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, to)


def copy_database(path: Path, copy: Path) -> None:
    """Copy the last commit to a file that is durable and whole when it has its name."""
    unfinished = copy.with_name(copy.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    unfinished.touch(0o600, exist_ok=False)
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(unfinished)) as target:
        target.execute("PRAGMA synchronous = FULL")
        source.backup(target)
    unfinished.replace(copy)
    sync_folder(copy.parent)

"""A PostgreSQL server of the tests' own, and an empty database in it for each test that asks for one.

It is started once for each process that runs tests, with its data in the temporary directory and a socket
there instead of a port, and ends with that process, however that ends.
"""

from __future__ import annotations

import atexit
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from functools import cache
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from typing import Any

from dpip.datastore import shared_secrets
from dpip.datastore.postgres import PostgresDatabase
from dpip.datastore.schema import metadata

_ACCOUNT = "postgres"  # that Debian's package makes; PostgreSQL refuses to run as root
_PORT = 5432  # names the socket
_FAST = {
    "listen_addresses": "",
    "fsync": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "32MB",
    "max_connections": "60",
    "wal_level": "minimal",
    "max_wal_senders": "0",
}
_START_SECONDS = 30.0
_SHARED = "shared"
_numbers = count()


def _programs() -> Path | None:
    """Where the server's programs are: Debian keeps them out of the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    on_path = shutil.which("initdb")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def why_not() -> str | None:
    """Why tests cannot have a PostgreSQL server here; None when they can."""
    if find_spec("psycopg") is None:
        return "psycopg is not installed: pip install 'dpip[postgres]'"
    if _programs() is None:
        return "PostgreSQL is not installed: apt-get install postgresql"
    if os.geteuid() == 0 and not any(entry.pw_name == _ACCOUNT for entry in pwd.getpwall()):
        return f"PostgreSQL does not run as root, and there is no account {_ACCOUNT}"
    return None


def as_somebody_else() -> dict[str, Any]:
    """What makes a child of root run as another user."""
    if os.geteuid():
        return {}
    account = pwd.getpwnam(_ACCOUNT)
    return {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}


class Server:
    """A running server with its data below ``folder``; ``settings`` go beyond those that make it fast."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder, _ACCOUNT)
        programs = _programs()
        assert programs is not None
        self.programs = programs
        self.settings = {**_FAST, **settings}

    def make(self) -> None:
        """Make its data directory."""
        self.run("initdb", "-A", "trust", "-U", "dpip", "-E", "UTF8", "--locale=C.UTF-8", "-N", "-D", "data")

    def run(self, program: str, *arguments: str) -> None:
        command = [str(self.programs / program), *arguments]
        subprocess.run(command, cwd=self.folder, check=True, stdout=subprocess.DEVNULL, **as_somebody_else())

    def start(self) -> None:
        settings = [f"--{name}={value}" for name, value in self.settings.items()]
        program = str(self.programs / "postgres")
        command = [program, "-D", "data", "-k", str(self.folder), "-p", str(_PORT), *settings]
        # A shell that reads from us until our end ends the server then.
        watched = '"$@" </dev/null & server=$!; cat >/dev/null; kill -INT $server; wait'
        self.log = open(self.folder / "log", "ab")  # noqa: SIM115 - the server writes to it
        self.process = subprocess.Popen(
            ["sh", "-c", watched, "sh", *command],
            cwd=self.folder,
            stdin=subprocess.PIPE,
            stdout=self.log,
            stderr=self.log,
            **as_somebody_else(),
        )
        self._wait()

    def _wait(self) -> None:
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                self.ask("SELECT 1")
            except Exception:
                if time.monotonic() > until:
                    raise
                time.sleep(0.02)
            else:
                return

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait()
        self.log.close()

    def kill(self) -> None:
        """End all its processes at once, as a power loss would."""
        main = (self.folder / "data" / "postmaster.pid").read_text().split()[0]
        os.kill(int(main), signal.SIGQUIT)
        wait = time.monotonic() + _START_SECONDS
        while (self.folder / "data" / "postmaster.pid").exists() and time.monotonic() < wait:
            time.sleep(0.01)
        self.stop()

    def url(self, database: str = "postgres") -> str:
        return f"postgresql://dpip@/{database}?host={self.folder}&port={_PORT}"

    def ask(self, statement: str, database: str = "postgres") -> list[tuple[Any, ...]]:
        return ask(self.url(database), statement)


_sessions: dict[str, Any] = {}


def session(url: str) -> Any:
    """The one session that tests have with a database."""
    import psycopg

    found = _sessions.get(url)
    if found is None or found.closed:
        found = _sessions[url] = psycopg.connect(url, autocommit=True)
    return found


def ask(url: str, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
    """The rows of a statement."""
    cursor = session(url).execute(statement, parameters or None)
    return cursor.fetchall() if cursor.description else []


@cache
def server() -> Server:
    """The server of this process, with a database that has the tables."""
    temporary = tempfile.TemporaryDirectory(prefix="dpip-pg-")
    os.chmod(temporary.name, 0o755)
    made = Server(Path(temporary.name) / "server")
    made.make()
    made.start()
    atexit.register(temporary.cleanup)
    atexit.register(made.stop)
    made.ask(f"CREATE DATABASE {_SHARED}")
    PostgresDatabase(made.url(_SHARED)).prepare()
    return made


def empty_url() -> str:
    """The URL of a new database without tables."""
    name = f"test{next(_numbers)}"
    server().ask(f"CREATE DATABASE {name}")
    return server().url(name)


def new_url() -> str:
    """The URL of the one database with this version's tables, which are empty now.

    Rows are deleted, which takes 3 ms: to truncate the tables takes 30, to copy the database 140.
    """
    names = [shared_secrets.secrets.name, *(table.name for table in metadata.sorted_tables)]
    deletions = "; ".join(f"DELETE FROM {name}" for name in reversed(names))
    numbers = "SELECT setval(oid::regclass, 1, false) FROM pg_class WHERE relkind = 'S'"
    server().ask(f"{deletions}; {numbers}", _SHARED)
    return server().url(_SHARED)

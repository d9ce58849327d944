"""A datastore without threads, and the values that its tests are made of."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeVar
from unittest import SkipTest

from attrs import define, evolve
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import migrate
from dpip.datastore.database import Database
from dpip.datastore.datastore import Datastore
from dpip.datastore.postgres import PostgresDatabase
from dpip.model import (
    AcceptedOriginal,
    CertificateRecord,
    IdempotencyKey,
    LeasedJob,
    Role,
    StoredFile,
    StoredPicture,
    WorkerInfo,
    Workload,
    WorkloadSpec,
)
from dpip.runtime.threads import InlineThreads
from tests.datastore import postgres_server

T = TypeVar("T")
NOW = 1_700_000_000.25
PICTURE = StoredPicture("PNG", "image/png", 40, 30, 3600)


def spec(name: str = "holiday", **options: Any) -> WorkloadSpec:
    return WorkloadSpec(name, (("blur", {"sigma": 2.5}),), **options)


def workload(workload_id: str = "w1", owner: str = "ann", now: float = NOW, **options: Any) -> Workload:
    return Workload(workload_id, owner, spec(**options), f"holiday-{workload_id}", now)


def stored(name: str = "a", size: int = 100, sha256: str | None = None, result_bytes: int = 0) -> StoredFile:
    picture = evolve(PICTURE, result_bytes=result_bytes)
    return StoredFile(
        f"holiday/originals/{name}.png", size, sha256 or f"sha of {name}", picture, f"{name}.png"
    )


def key(name: str = "k", fingerprint: str = "f", owner: str = "ann") -> IdempotencyKey:
    return IdempotencyKey(owner, name, fingerprint)


def worker(name: str = "worker", **options: Any) -> WorkerInfo:
    facts: dict[str, Any] = {
        "version": "1",
        "machine": "m",
        "slots": 2,
        "capacity": 4,
        "tags": frozenset({"fast", "gpu"}),
        "filters": {"blur": "1"},
        "has_gpu": False,
        "fingerprint": "engine 1",
    }
    return WorkerInfo(name=name, **facts | options)


@cache
def _empty() -> bytes:
    with TemporaryDirectory(prefix="dpip-test-") as folder:
        migrate.prepare(path := Path(folder) / "db.sqlite")
        return path.read_bytes()


def empty_database(path: Path) -> Path:
    """Write the file as a datastore leaves it that has just made its tables, which takes far longer."""
    path.write_bytes(_empty())
    return path


class HeldThreads:
    """Work waits until ``run``; as a reactor it counts the calls that come from threads."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []
        self.answers = 0

    def start(self) -> None: ...

    def stop(self) -> None: ...

    def callInThread(self, func: Callable[..., Any], *args: Any) -> None:
        self.waiting.append(lambda: func(*args))

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.answers += 1
        callable(*args, **kwargs)

    def run(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


EVERYWHERE = os.environ.get("DPIP_TEST_DATABASE") == "postgresql"
"""Whether all tests of the datastore use PostgreSQL (tox -e postgres)."""


@define
class DatabaseFor:
    """The database that the tests of one class use as if it were the file at ``path``."""

    path: Path
    url: str | None = None

    @classmethod
    def made(cls, path: Path, postgres: bool) -> DatabaseFor:
        """Raises SkipTest where there is no PostgreSQL."""
        if not postgres:
            return cls(path)
        if why := postgres_server.why_not():
            raise SkipTest(why)
        return cls(path, postgres_server.new_url())

    @property
    def place(self) -> Path | Database:
        return self.path if self.url is None else PostgresDatabase(self.url)

    @contextmanager
    def connected(self) -> Iterator[Any]:
        """A connection to ask behind the datastore's back, which changes nothing without a transaction."""
        if self.url is not None:
            yield postgres_server.session(self.url)
        else:
            with closing(sqlite3.connect(self.path, isolation_level=None)) as connection:
                yield connection

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """Ask, or change, behind the datastore's back; parameters are written ``?``."""
        if self.url is not None:
            return postgres_server.ask(self.url, statement.replace("?", "%s"), *parameters)
        with closing(sqlite3.connect(self.path)) as connection, connection:
            return connection.execute(statement, parameters).fetchall()


class DatastoreTestCase(SynchronousTestCase):
    """``self.datastore`` is open and has the user ann."""

    postgres = EVERYWHERE

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.database = DatabaseFor.made(self.path, self.postgres)
        self.datastore = self.opened()
        self.now(self.datastore.add_user("ann", "hash", Role.USER, None, NOW))

    def opened(self) -> Datastore:
        datastore = Datastore(self.database.place, InlineThreads(), InlineThreads)
        datastore.startService()
        self.addCleanup(datastore.stopService)
        return datastore

    def now(self, deferred: Deferred[T]) -> T:
        result: T = self.successResultOf(deferred)
        return result

    def refused(self, deferred: Deferred[Any], kind: type[Exception]) -> Any:
        return self.failureResultOf(deferred, kind).value

    def rows(self, statement: str, *parameters: Any) -> list[tuple[Any, ...]]:
        """What the database says, asked behind the datastore's back."""
        return self.database.rows(statement, *parameters)

    def change(self, statement: str, *parameters: Any) -> None:
        """Change the database behind the datastore's back."""
        self.database.rows(statement, *parameters)

    # Steps that many tests take

    def uploaded(
        self, *names: str, workload_id: str = "w1", key: IdempotencyKey | None = None, size: int = 100
    ) -> Sequence[AcceptedOriginal]:
        files = [(name, f"{name}-result", stored(name, size)) for name in names]
        accepted, _ = self.now(self.datastore.add_originals(workload_id, files, key, NOW))
        return accepted

    def joined(self, info: WorkerInfo, address: str, now: float) -> None:
        """With a certificate of its own: its serial number is the worker's name and a 1."""
        serial = f"{info.name} 1"
        if not self.rows("SELECT 1 FROM certificates WHERE serial = ?", serial):
            new = CertificateRecord(serial, info.name, address, now, now + 3600)
            self.now(self.datastore.issue_certificate(new, now))
        self.now(self.datastore.worker_joined(info, address, now, serial))

    def leased(self, *numbers: int, worker: str = "worker", nonce: str = "n") -> list[LeasedJob]:
        wanted = [(number, worker, f"{nonce}{number}") for number in numbers]
        found = self.now(self.datastore.lease(wanted, NOW + 1))
        self.assertNotIn(None, found)
        return [job for job in found if job is not None]

    def prepared(self, *names: str, workload_id: str = "w1") -> list[LeasedJob]:
        """A workload with these originals, all leased."""
        self.now(self.datastore.add_workload(workload(workload_id), None))
        return self.leased(*[one.job.job for one in self.uploaded(*names, workload_id=workload_id)])

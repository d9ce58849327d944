"""What a simulated disk keeps when the power fails: what was fsynced, and of the rest anything."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from random import Random

from sqlalchemy import text
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import engine
from dpip.runtime import platform
from tests.simulation.disk import Disk, watched

_TIMES = 40


class DiskTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.disk = Disk(self.folder / "now")
        watching = watched(lambda path: self.disk if path.startswith(str(self.disk.root)) else None)
        watching.__enter__()
        self.addCleanup(watching.__exit__, None, None, None)
        self.numbers = iter(range(1000))

    def write(self, name: str, data: bytes, sync: bool) -> None:
        with (self.disk.root / name).open("wb") as file:
            file.write(data)
            file.flush()
            if sync:
                os.fsync(file.fileno())

    def sync_folder(self) -> None:
        platform.sync_folder(self.disk.root)

    def after(self, power_failed: bool = True) -> set[str]:
        """What may be found of all files, over many failures: ``name=contents``."""
        found = set()
        for number in range(_TIMES):
            root = self.folder / f"after{next(self.numbers)}"
            self.disk.survive(root, power_failed, Random(number))
            found.add(" ".join(sorted(f"{p.name}={p.read_text()}" for p in root.iterdir())))
        return found

    def test_what_is_synced_with_its_name_is_certain(self) -> None:
        self.write("a", b"data", sync=True)
        self.sync_folder()
        self.assertEqual(self.after(), {"a=data"})

    def test_a_name_that_is_not_synced_may_be_lost(self) -> None:
        self.write("a", b"data", sync=True)
        self.assertEqual(self.after(), {"", "a=data"})

    def test_bytes_that_are_not_synced_may_be_lost_or_torn(self) -> None:
        self.write("a", b"data", sync=False)
        self.sync_folder()
        self.assertLess({"a=", "a=data"}, self.after())

    def test_a_rename_may_be_undone(self) -> None:
        self.write("a", b"data", sync=True)
        self.sync_folder()
        (self.disk.root / "a").rename(self.disk.root / "b")
        self.assertEqual(self.after(), {"a=data", "b=data"})
        self.sync_folder()
        self.assertEqual(self.after(), {"b=data"})

    def test_a_killed_process_loses_nothing_that_it_has_written(self) -> None:
        self.write("a", b"data", sync=False)
        self.assertEqual(self.after(power_failed=False), {"a=data"})

    def rows_after(self, synchronous: str) -> set[int]:
        path = self.disk.root / "x.sqlite"
        engine.create_file(path)
        writing = engine.writing(path, synchronous)
        self.addCleanup(writing.dispose)
        with writing.begin() as connection:
            connection.execute(text("CREATE TABLE t (n)"))
        for _ in range(3):
            with writing.begin() as connection:
                connection.execute(text("INSERT INTO t VALUES (1)"))
        found = set()
        for number in range(_TIMES):
            root = self.folder / f"after{next(self.numbers)}"
            self.disk.survive(root, True, Random(number))
            with closing(sqlite3.connect(root / "x.sqlite")) as database:
                tables = database.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
                found.add(database.execute("SELECT count(*) FROM t").fetchone()[0] if tables else -1)
        return found

    def test_commits_are_certain_when_sqlite_syncs_them(self) -> None:
        self.assertEqual(self.rows_after("FULL"), {3})

    def test_commits_may_be_lost_when_it_does_not(self) -> None:
        self.assertGreater(len(self.rows_after("NORMAL")), 1)

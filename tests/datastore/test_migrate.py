from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import migrate
from dpip.datastore.datastore import Datastore
from dpip.datastore.migrate import HEAD, SCRIPTS, UnknownDatabase
from dpip.runtime.threads import InlineThreads

NEXT = "9001"
FURTHER = """
import sqlalchemy as sa
from alembic import op

revision = "{next}"
down_revision = "{head}"


def upgrade() -> None:
    with op.batch_alter_table("users") as table:
        table.add_column(sa.Column("colour", sa.Text(), nullable=False, server_default="blue"))
    {more}
"""


class MigrationTestCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir()
        self.path = self.folder / "dpip.sqlite"

    def ask(self, statement: str, path: Path | None = None) -> list[tuple[object, ...]]:
        with closing(sqlite3.connect(path or self.path)) as connection, connection:
            return connection.execute(statement).fetchall()

    def tables(self, path: Path | None = None) -> list[tuple[object, ...]]:
        """Columns, keys, defaults and indexes of all tables, whatever their SQL looks like."""
        found: list[tuple[object, ...]] = []
        names = [str(n) for (n,) in self.ask("SELECT name FROM sqlite_master WHERE type = 'table'", path)]
        for table in sorted(names):
            found += [(table, "column", *row[1:]) for row in self.ask(f"PRAGMA table_xinfo({table})", path)]
            found += sorted(
                (table, "refers", *row[2:]) for row in self.ask(f"PRAGMA foreign_key_list({table})", path)
            )
            found += [(table, "list", *row[3:]) for row in self.ask(f"PRAGMA table_list({table})", path)]
        indexes = "SELECT tbl_name, name, sql FROM sqlite_master WHERE type = 'index' ORDER BY tbl_name, name"
        return found + self.ask(indexes, path)

    def with_another(self, more: str = "pass") -> Path:
        """The migrations, and one more."""
        scripts = self.folder / "scripts"
        shutil.copytree(SCRIPTS, scripts, ignore=shutil.ignore_patterns("__pycache__"))
        (scripts / "versions" / "9001_colour.py").write_text(FURTHER.format(more=more, head=HEAD, next=NEXT))
        return scripts


class FreshTests(MigrationTestCase):
    def test_a_new_file_has_the_newest_tables_and_is_its_owners_alone(self) -> None:
        migrate.prepare(self.path)
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version"), [(HEAD,)])
        self.assertEqual(os.stat(self.path).st_mode & 0o777, 0o600)
        self.assertEqual(self.ask("PRAGMA journal_mode"), [("wal",)])

    def test_the_migrations_lead_to_the_very_same_tables(self) -> None:
        migrate.prepare(self.path)
        old = self.folder / "old.sqlite"
        with closing(sqlite3.connect(old)) as connection:
            connection.executescript(
                "CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"
            )
        engine = migrate.migrating(old)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            migrate.run_migrations(connection, SCRIPTS)
        self.assertEqual(self.tables(old), self.tables())
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version", old), [(HEAD,)])

    def test_a_second_start_changes_nothing_and_loads_no_alembic(self) -> None:
        program = (
            "import sys; from pathlib import Path; from dpip.datastore import migrate;"
            "migrate.prepare(Path(sys.argv[1])); migrate.prepare(Path(sys.argv[1]));"
            "print([name for name in sys.modules if name.startswith('alembic')])"
        )
        said = subprocess.run(
            [sys.executable, "-c", program, str(self.path)],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parents[2],
        )
        self.assertEqual(said.stdout.strip(), "[]")
        self.assertEqual(sorted(os.listdir(self.folder)), ["dpip.sqlite"])

    def test_an_empty_file_of_an_interrupted_start_is_filled(self) -> None:
        self.path.touch()
        migrate.prepare(self.path)
        self.assertEqual(self.ask("SELECT count(*) FROM users"), [(0,)])


class UpgradeTests(MigrationTestCase):
    def setUp(self) -> None:
        super().setUp()
        migrate.prepare(self.path)
        self.ask("INSERT INTO users (name, role, password_hash, created) VALUES ('ann', 'user', 'h', 1)")
        self.ask("INSERT INTO tokens VALUES (x'01', 1, 1, 2, NULL)")

    def test_data_is_carried_over_and_a_copy_of_before_is_kept(self) -> None:
        migrate.prepare(self.path, NEXT, self.with_another())
        self.assertEqual(self.ask("SELECT name, colour FROM users"), [("ann", "blue")])
        self.assertEqual(self.ask("SELECT user_id FROM tokens"), [(1,)])
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version"), [(NEXT,)])
        copy = self.folder / f"dpip.sqlite.{HEAD}.backup"
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version", copy), [(HEAD,)])
        self.assertEqual(self.ask("SELECT name FROM users", copy), [("ann",)])
        self.assertEqual(os.stat(copy).st_mode & 0o777, 0o600)

    def test_only_the_newest_copies_are_kept(self) -> None:
        for revision in ("0000", "0001a", "0001b", "0001c"):
            (self.folder / f"dpip.sqlite.{revision}.backup").touch()
        migrate.prepare(self.path, NEXT, self.with_another())
        kept = sorted(path.name for path in self.folder.glob("*.backup"))
        self.assertEqual(kept, [f"dpip.sqlite.{revision}.backup" for revision in ("0001b", "0001c", HEAD)])

    def test_a_migration_that_fails_leaves_all_as_it_was(self) -> None:
        before = self.tables()
        scripts = self.with_another("raise RuntimeError('half way')")
        self.assertRaises(RuntimeError, migrate.prepare, self.path, NEXT, scripts)
        self.assertEqual(self.tables(), before)
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version"), [(HEAD,)])
        migrate.prepare(self.path)

    def test_a_migration_that_breaks_a_reference_is_refused(self) -> None:
        scripts = self.with_another("op.execute('DELETE FROM users')")
        self.assertRaises(RuntimeError, migrate.prepare, self.path, NEXT, scripts)
        self.assertEqual(self.ask("SELECT name FROM users"), [("ann",)])

    def test_a_later_versions_file_is_refused_with_words(self) -> None:
        migrate.prepare(self.path, NEXT, self.with_another())
        error = self.assertRaises(UnknownDatabase, migrate.prepare, self.path)
        for word in (str(self.path), NEXT, HEAD, "later version"):
            self.assertIn(word, error.detail)
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version"), [(NEXT,)])

    def test_a_service_that_cannot_know_its_file_does_not_start(self) -> None:
        migrate.prepare(self.path, NEXT, self.with_another())
        datastore = Datastore(self.path, InlineThreads(), InlineThreads)
        self.assertRaises(UnknownDatabase, datastore.startService)
        stopped = datastore.stopService()
        assert isinstance(stopped, Deferred)
        self.successResultOf(stopped)


class FromTheFirstTests(MigrationTestCase):
    """A file of revision 0001 with a finished job, a failed one, and a job number whose job is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.ask("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)")
        engine = migrate.migrating(self.path)
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            migrate.run_migrations(connection, SCRIPTS, "0001")
        for statement in (
            "INSERT INTO users VALUES (1, 'ann', 'user', 'h', 1, NULL, 0)",
            "INSERT INTO workloads VALUES (1, 'w', 1, '{}', 'd', 1, 3, 1, 1, 9, 3, 1, NULL, NULL)",
            *(
                f"INSERT INTO images VALUES ({n + 1}, 'i{n}', 1, 'original', {n},"
                " 'p', 1, 's', 'PNG', 'image/png', 1, 1, 3, NULL, 1)"
                for n in range(3)
            ),
            *(
                "INSERT INTO jobs (workload_id, original_id, seq, result, state, pixels, decoded_bytes, code)"
                f" VALUES (1, {n + 1}, {n}, 'r{n}', '{state}', 1, 3, {code})"
                for n, (state, code) in enumerate(
                    [("done", "NULL"), ("failed", "'bad-picture'"), ("waiting", "NULL")]
                )
            ),
            "INSERT INTO attempts VALUES (1, 1, 'n', 'worker', NULL, 1, 2, 'done')",
            "DELETE FROM jobs WHERE id = 3",
        ):
            self.ask(statement)

    def test_jobs_and_attempts_are_carried_over(self) -> None:
        migrate.prepare(self.path)
        self.assertEqual(
            self.ask("SELECT id, original_id, state, code, retried FROM jobs"),
            [(1, 1, "done", None, None), (2, 2, "failed", "bad-picture", None)],
        )
        self.assertEqual(self.ask("SELECT job_id, outcome FROM attempts"), [(1, "done")])
        self.assertEqual(self.ask("SELECT retried, sealed FROM workloads"), [(0, None)])

    def test_no_job_number_comes_again(self) -> None:
        migrate.prepare(self.path)
        self.ask(
            "INSERT INTO jobs (workload_id, original_id, seq, result, state, pixels, memory)"
            " VALUES (1, 3, 2, 'r2', 'waiting', 1, 3)"
        )
        self.assertEqual(self.ask("SELECT max(id) FROM jobs"), [(4,)])


class StrangeFileTests(MigrationTestCase):
    def test_somebody_elses_database_is_left_alone(self) -> None:
        self.ask("CREATE TABLE recipes (name TEXT)")
        error = self.assertRaises(UnknownDatabase, migrate.prepare, self.path)
        self.assertIn("not one of DPIP's", error.detail)
        self.assertEqual(self.ask("SELECT name FROM sqlite_master"), [("recipes",)])

    def test_a_file_that_is_no_database_is_left_alone(self) -> None:
        self.path.write_bytes(b"certainly not a database" * 100)
        error = self.assertRaises(UnknownDatabase, migrate.prepare, self.path)
        self.assertIn("not a database", error.detail)
        self.assertEqual(self.path.read_bytes(), b"certainly not a database" * 100)

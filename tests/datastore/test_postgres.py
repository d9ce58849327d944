"""The datastore's tests on PostgreSQL: a short form of what ``tox -e postgres`` does with all of them."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from types import SimpleNamespace
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import migrate
from dpip.datastore.leadership import Leadership
from dpip.datastore.postgres import PostgresDatabase
from dpip.datastore.postgres_checks import check, warnings
from dpip.datastore.postgres_errors import UnusableDatabase
from dpip.errors import DpipError, RetryLater
from tests.datastore import (
    postgres_server,
    test_groups,
    test_jobs,
    test_results,
    test_service,
    test_uploads,
    test_workloads,
    test_writer,
)


class PostgresGroupTests(test_groups.RuleTests):
    postgres = True


class PostgresLeaseTests(test_jobs.LeasingTests):
    postgres = True


class PostgresFinishTests(test_results.FinishTests):
    postgres = True


class PostgresThreadTests(test_service.ThreadTests):
    postgres = True


class PostgresUploadTests(test_uploads.UploadTests):
    postgres = True


class PostgresListingTests(test_workloads.ListingTests):
    postgres = True


class PostgresTotalsTests(test_workloads.TotalsTests):
    postgres = True


class PostgresWriterTests(test_writer.FailureTests):
    postgres = True


class PostgresTestCase(SynchronousTestCase):
    """``self.url`` is of a database without tables."""

    def setUp(self) -> None:
        if why := postgres_server.why_not():
            raise SkipTest(why)
        self.url = postgres_server.empty_url()

    def ask(self, statement: str) -> list[tuple[Any, ...]]:
        return postgres_server.ask(self.url, statement)


class PostgresMigrationTests(PostgresTestCase):
    def tables(self) -> list[tuple[Any, ...]]:
        columns = self.ask(
            "SELECT table_name, column_name, data_type, is_nullable, column_default"
            " FROM information_schema.columns WHERE table_schema = 'public' ORDER BY 1, 2"
        )
        indexes = self.ask("SELECT indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY 1")
        constraints = self.ask(
            "SELECT conrelid::regclass::text, pg_get_constraintdef(oid) FROM pg_constraint"
            " WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
        )
        beside = ("alembic_version", "secrets")
        return [
            row for row in (*columns, *indexes, *constraints) if not any(name in str(row) for name in beside)
        ]

    def test_the_migrations_lead_to_the_very_same_tables(self) -> None:
        PostgresDatabase(self.url).prepare()
        new = self.tables()
        self.url = postgres_server.empty_url()
        engine = PostgresDatabase(self.url).writing()
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            migrate.run_migrations(connection, migrate.SCRIPTS)
        self.assertEqual(self.tables(), new)
        self.assertEqual(self.ask("SELECT version_num FROM alembic_version"), [(migrate.HEAD,)])

    def test_a_second_start_changes_nothing(self) -> None:
        PostgresDatabase(self.url).prepare()
        PostgresDatabase(self.url).prepare()
        self.assertEqual(self.ask("SELECT count(*) FROM users"), [(0,)])

    def test_tables_of_somebody_else_are_left_alone(self) -> None:
        engine = PostgresDatabase(self.url).writing()
        self.addCleanup(engine.dispose)
        with engine.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE recipes (name TEXT)")
        error = self.assertRaises(migrate.UnknownDatabase, PostgresDatabase(self.url).prepare)
        self.assertIn("not one of DPIP's", error.detail)


class PostgresRefusalTests(PostgresTestCase):
    def refused(self, url: str, kind: type[DpipError] = UnusableDatabase) -> str:
        error = self.assertRaises(kind, PostgresDatabase(url).prepare)
        self.assertNotIn("\n", error.detail)
        return str(error.detail)

    def test_what_is_wrong_is_said_in_a_sentence(self) -> None:
        server = postgres_server.server()
        self.assertIn("does not exist", self.refused(server.url("nowhere")))
        self.assertIn("does not exist", self.refused(self.url.replace("dpip@", "nobody@")))
        self.assertIn("URL is wrong", self.refused(self.url + "&colour=blue"))
        self.assertIn("cannot be reached", self.refused("postgresql://127.0.0.1:1/dpip", RetryLater))

    def test_an_old_server_is_refused(self) -> None:
        class Old:
            class info:  # noqa: N801 - psycopg's name
                server_version = 130_012

        error = self.assertRaises(UnusableDatabase, check, Old())
        self.assertIn("PostgreSQL 13", error.detail)

    def test_another_encoding_is_refused(self) -> None:
        postgres_server.server().ask("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'")
        self.assertIn("UTF8", self.refused(postgres_server.server().url("latin")))


class PoolerTests(PostgresTestCase):
    """Behind PgBouncer a leader's lock stays with it only in session mode."""

    def pooled(self, mode: str) -> PostgresDatabase:
        program = shutil.which("pgbouncer", path=f"{os.environ['PATH']}:/usr/sbin")
        if program is None:
            raise SkipTest("PgBouncer is not installed: apt-get install pgbouncer")
        server = postgres_server.server()
        folder = server.folder.parent / f"bouncer-{mode}"
        folder.mkdir(exist_ok=True)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres")
        settings = folder / "pgbouncer.ini"
        settings.write_text(
            f"[databases]\n* = host={server.folder} port=5432 user=dpip\n[pgbouncer]\nlisten_port = 6432\n"
            f"unix_socket_dir = {folder}\nauth_type = any\npool_mode = {mode}\n"
        )
        process = subprocess.Popen(
            [program, "-q", str(settings)], stderr=subprocess.DEVNULL, **postgres_server.as_somebody_else()
        )
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        for _ in range(500):
            if (folder / ".s.PGSQL.6432").exists():
                break
            time.sleep(0.01)
        return PostgresDatabase(f"postgresql://dpip@/shared?host={folder}&port=6432", Leadership())

    def test_in_transaction_mode_it_is_refused_with_the_way_out(self) -> None:
        database = self.pooled("transaction")
        for use in (database.lead, database.look):
            self.assertIn("pool_mode = session", self.assertRaises(UnusableDatabase, use).detail)

    def test_in_session_mode_it_works(self) -> None:
        database = self.pooled("session")
        self.assertTrue(database.lead())
        assert database.leadership is not None
        database.leadership.resign()


class AdviceTests(PostgresTestCase):
    def test_what_may_lose_commits_is_told(self) -> None:
        """The tests' own server does, without fsync."""
        version, warnings = PostgresDatabase(self.url).look()
        self.assertRegex(version, r"^\d+")
        self.assertEqual([warning for warning in warnings if "fsync" not in warning], [])
        self.assertEqual(len(warnings), 1)

    def test_a_replica_that_is_not_synchronous_is_told(self) -> None:
        answers = {"SHOW fsync": "on", "SHOW synchronous_standby_names": ""}

        class Session:
            def execute(self, statement: str) -> Any:
                return SimpleNamespace(fetchall=lambda: [[answers.get(statement, 1)]])

        self.assertIn("synchronous_standby_names", "".join(warnings(Session())))
        answers["SHOW synchronous_standby_names"] = "*"
        self.assertEqual(list(warnings(Session())), [])

"""Of several controllers on one PostgreSQL database one leads, and only while it surely does."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import SkipTest

from attrs import define
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import shared_secrets
from dpip.datastore.datastore import Datastore
from dpip.datastore.leadership import HOLD_SECONDS, Leadership
from dpip.datastore.postgres import PostgresDatabase
from dpip.errors import RetryLater
from dpip.model import Role
from dpip.runtime.threads import InlineThreads
from tests.datastore import postgres_server
from tests.datastore.support import NOW


class EndOfProcess(BaseException):
    """The process would have ended."""


def end() -> None:
    raise EndOfProcess


@define
class SetTime:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


class LeadershipTests(SynchronousTestCase):
    def setUp(self) -> None:
        if why := postgres_server.why_not():
            raise SkipTest(why)
        self.url = postgres_server.new_url()
        self.time = SetTime()
        self.first, self.second = self.candidate(), self.candidate()

    def candidate(self) -> PostgresDatabase:
        leadership = Leadership(self.time, end)
        self.addCleanup(leadership.resign)
        return PostgresDatabase(self.url, leadership)

    def leading(self) -> tuple[Leadership, Datastore]:
        self.assertTrue(self.first.lead())
        datastore = Datastore(self.first, InlineThreads(), InlineThreads)
        datastore.startService()
        assert self.first.leadership is not None
        return self.first.leadership, datastore

    @contextmanager
    def ends(self) -> Iterator[None]:
        try:
            yield
        except EndOfProcess:
            return
        self.fail("the process goes on")

    def kill_session(self) -> None:
        held = "SELECT pg_terminate_backend(pid, 5000) FROM pg_locks WHERE locktype = 'advisory'"
        self.assertEqual(postgres_server.ask(self.url, held), [(True,)])

    def test_one_leads_and_the_next_when_it_is_gone(self) -> None:
        leadership, _ = self.leading()
        self.assertFalse(self.second.lead())
        leadership.resign()
        self.assertTrue(self.second.lead())

    def test_who_stands_by_comes_back_after_a_lost_session(self) -> None:
        leadership, _ = self.leading()
        self.assertFalse(self.second.lead())
        idle = (
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'dpip'"
            " AND pid NOT IN (SELECT pid FROM pg_locks WHERE locktype = 'advisory')"
        )
        postgres_server.ask(self.url, idle)
        self.assertRaises(RetryLater, self.second.lead)
        self.assertFalse(self.second.lead())
        leadership.resign()
        self.assertTrue(self.second.lead())

    def test_a_leader_whose_session_is_lost_ends_before_it_answers(self) -> None:
        _, datastore = self.leading()
        self.kill_session()
        self.assertTrue(self.second.lead())
        with self.ends():
            datastore.add_user("ann", "", Role.USER, None, NOW)
        self.assertEqual(postgres_server.ask(self.url, "SELECT count(*) FROM users"), [(0,)])

    def test_a_sign_of_life_finds_that_the_session_is_lost(self) -> None:
        _, datastore = self.leading()
        self.kill_session()
        with self.ends():
            datastore.beat()

    def test_without_a_confirmed_sign_of_life_it_ends(self) -> None:
        leadership, datastore = self.leading()
        self.time.now += HOLD_SECONDS
        leadership.check()
        self.successResultOf(datastore.beat())
        self.time.now += HOLD_SECONDS
        leadership.check()
        self.time.now += 0.1
        with self.ends():
            leadership.check()

    def test_time_passes_while_the_machine_sleeps_and_never_jumps(self) -> None:
        since_boot = time.clock_gettime(time.CLOCK_BOOTTIME)
        self.assertLess(abs(Leadership().clock() - since_boot), 60.0)

    def test_there_is_never_a_second_session(self) -> None:
        leadership, _ = self.leading()
        with self.ends():
            leadership.session_once()

    def test_who_stands_by_or_shares_nothing_never_ends(self) -> None:
        self.time.now += 1000
        for database in (self.first, self.second):
            assert database.leadership is not None
            database.leadership.check()

    def test_an_operation_that_fails_leaves_the_session_as_it_is(self) -> None:
        _, datastore = self.leading()
        storage = datastore._storage
        assert storage is not None
        broken = storage.writer.call(lambda connection: connection.exec_driver_sql("SELECT 1 / 0"))
        self.failureResultOf(broken)
        self.flushLoggedErrors()
        self.successResultOf(datastore.add_user("ann", "", Role.USER, None, NOW))

    def test_who_does_not_lead_writes_in_turn(self) -> None:
        """As ``dpip users`` does beside the controller."""
        _, datastore = self.leading()
        beside = Datastore(PostgresDatabase(self.url), InlineThreads(), InlineThreads)
        beside.startService()
        self.addCleanup(beside.stopService)
        self.successResultOf(beside.add_user("ann", "", Role.USER, None, NOW))
        self.assertIsNotNone(self.successResultOf(datastore.user("ann")))

    def test_secrets_are_kept_as_they_are_and_no_others(self) -> None:
        _, datastore = self.leading()
        for files in ({"authority.pem": b"\0key", "join-token": b"one"}, {"join-token": b"two"}):
            self.successResultOf(datastore.keep_secrets(files))
            with self.first.writing().begin() as connection:
                self.assertEqual(shared_secrets.read(connection), files)

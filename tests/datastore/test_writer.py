"""Group commit: many operations, one transaction, and each answered for itself."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Iterable, Sequence
from itertools import count
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.datastore import engine
from dpip.datastore.database import database_of
from dpip.datastore.writer import OperationKind, Writer, _Operation, arranged
from dpip.errors import Conflict, DiskFull, DpipError, RetryLater
from tests.datastore.support import EVERYWHERE, DatabaseFor, HeldThreads


def insert(connection: Connection, number: int) -> int:
    connection.execute(text("INSERT INTO things VALUES (:number)"), {"number": number})
    return number


def insert_many(connection: Connection, numbers: Sequence[int]) -> Sequence[int | DpipError]:
    return [Conflict("odd") if number % 2 else insert(connection, number) for number in numbers]


EVEN: OperationKind[int, int] = OperationKind(insert_many, touches=lambda number: [number])
NEEDED: OperationKind[int, int] = OperationKind(insert_many, touches=lambda number: [number], sheds=False)


def refuse(connection: Connection, number: int) -> None:
    insert(connection, number)
    raise Conflict("after it has written")


def break_down(connection: Connection, number: int) -> None:
    insert(connection, number)
    raise ZeroDivisionError


class WriterTestCase(SynchronousTestCase):
    postgres = EVERYWHERE

    def setUp(self) -> None:
        self.path = Path(self.mktemp())
        self.database = DatabaseFor.made(self.path, self.postgres)
        self.threads = HeldThreads()
        self.engine: Engine = database_of(self.database.place).writing()
        self.addCleanup(self.engine.dispose)
        with self.engine.begin() as connection:
            connection.execute(text("DROP TABLE IF EXISTS things"))
            connection.execute(text("CREATE TABLE things (number INTEGER PRIMARY KEY)"))
        self.commits = 0
        event.listen(self.engine, "commit", self._committed)
        self.writer = Writer(self.threads, self.threads, self.engine, limit=10, group=6)

    def _committed(self, _: Any) -> None:
        self.commits += 1

    def things(self) -> list[int]:
        return [number for (number,) in self.database.rows("SELECT number FROM things ORDER BY number")]


class GroupTests(WriterTestCase):
    def test_what_waits_shares_a_commit_and_an_answer(self) -> None:
        works = [self.writer.call(insert, number) for number in range(5)]
        self.assertNoResult(works[0])
        self.threads.run()
        self.assertEqual([self.successResultOf(work) for work in works], [0, 1, 2, 3, 4])
        self.assertEqual((self.commits, self.threads.answers), (1, 1))

    def test_a_group_is_bounded(self) -> None:
        works = [self.writer.call(insert, number) for number in range(10)]
        self.threads.run()
        self.assertEqual([self.successResultOf(work) for work in works], list(range(10)))
        self.assertEqual((self.commits, self.threads.answers), (2, 2))

    def test_nobody_hears_of_it_before_it_is_committed(self) -> None:
        heard: list[int] = []
        event.listen(self.engine, "commit", lambda _: self.assertEqual(heard, []))
        for number in range(3):
            self.writer.call(insert, number).addCallback(heard.append)
        self.threads.run()
        self.assertEqual(heard, [0, 1, 2])

    def test_one_thread_is_asked_for_at_a_time(self) -> None:
        for number in range(4):
            self.writer.call(insert, number)
        self.assertEqual(len(self.threads.waiting), 1)
        self.threads.run()
        self.writer.call(insert, 9)
        self.assertEqual(len(self.threads.waiting), 1)

    def test_what_an_answer_asks_for_is_done_too(self) -> None:
        again: list[Deferred[int]] = []
        self.writer.call(insert, 1).addCallback(lambda _: again.append(self.writer.call(insert, 2)))
        self.threads.run()
        self.assertEqual(self.successResultOf(again[0]), 2)

    def test_who_goes_away_changes_nothing(self) -> None:
        work = self.writer.call(insert, 1)
        other = self.writer.call(insert, 2)
        work.cancel()
        self.failureResultOf(work, CancelledError)
        self.threads.run()
        self.assertEqual((self.successResultOf(other), self.things()), (2, [1, 2]))


class FailureTests(WriterTestCase):
    def test_a_domain_error_fails_and_undoes_its_own_operation_alone(self) -> None:
        works = [self.writer.call(insert, 1), self.writer.call(refuse, 2), self.writer.call(insert, 3)]
        self.threads.run()
        self.failureResultOf(works[1], Conflict)
        self.assertEqual((self.things(), self.commits), ([1, 3], 1))

    def test_a_batch_answers_each_of_its_operations(self) -> None:
        works = [self.writer.submit(EVEN, number) for number in range(4)]
        self.threads.run()
        for number, work in enumerate(works):
            if number % 2:
                self.failureResultOf(work, Conflict)
            else:
                self.assertEqual(self.successResultOf(work), number)
        self.assertEqual((self.things(), self.commits), ([0, 2], 1))

    def test_a_bug_fails_the_culprit_alone(self) -> None:
        works = [self.writer.call(insert, 1), self.writer.call(break_down, 2), self.writer.call(insert, 3)]
        works += [self.writer.submit(EVEN, 4), self.writer.submit(EVEN, 1)]
        self.threads.run()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.failureResultOf(works[1], ZeroDivisionError)
        self.failureResultOf(works[4], Conflict)
        self.assertEqual([self.successResultOf(works[place]) for place in (0, 2, 3)], [1, 3, 4])
        self.assertEqual(self.things(), [1, 3, 4])
        self.assertEqual(self.threads.answers, 1)

    def test_a_violated_constraint_is_a_bug_like_another(self) -> None:
        works = [self.writer.call(insert, 1), self.writer.call(insert, 1), self.writer.call(insert, 2)]
        self.threads.run()
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual(self.failureResultOf(works[1]).type.__name__, "IntegrityError")
        self.assertEqual(self.things(), [1, 2])

    def test_a_batch_that_answers_too_little_commits_nothing(self) -> None:
        short: OperationKind[int, int] = OperationKind(
            lambda connection, numbers: [insert(connection, 5)][:0]
        )
        work = self.writer.submit(short, 5)
        self.threads.run()
        self.flushLoggedErrors(ValueError)
        self.failureResultOf(work, ValueError)
        self.assertEqual(self.things(), [])

    def test_a_commit_that_fails_fails_all(self) -> None:
        def no_disk(_: Any) -> None:
            raise DBAPIError("COMMIT", None, _io_error())

        event.listen(self.engine, "commit", no_disk)
        works = [self.writer.call(insert, number) for number in range(3)]
        self.threads.run()
        for work in works:
            self.failureResultOf(work, RetryLater)
        event.remove(self.engine, "commit", no_disk)
        self.assertEqual(self.things(), [])


class SqliteFailureTests(WriterTestCase):
    postgres = False

    def test_a_full_disk_fails_all_and_leaves_nothing_half_done(self) -> None:
        with self.engine.begin() as connection:
            connection.execute(text("PRAGMA max_page_count = 1"))  # no growth beyond what there is
        works = [self.writer.call(insert, number) for number in range(3)]
        works.append(self.writer.call(_fill))
        self.threads.run()
        for work in works:
            self.failureResultOf(work, DiskFull)
        self.assertEqual(self.things(), [])
        again = self.writer.call(insert, 7)
        self.threads.run()
        self.assertEqual((self.successResultOf(again), self.things()), (7, [7]))

    def test_a_locked_database_is_asked_again_later(self) -> None:
        self.engine.dispose()
        other = engine.writing(self.path)
        self.addCleanup(other.dispose)
        with self.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA busy_timeout = 1")
        with other.begin() as holder:
            insert(holder, 1)
            work = self.writer.call(insert, 2)
            self.threads.run()
            self.failureResultOf(work, RetryLater)
        self.assertEqual(self.things(), [1])


def _fill(connection: Connection) -> None:
    connection.execute(text("CREATE TABLE more AS SELECT randomblob(100000)"))


def _io_error() -> BaseException:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR_FSYNC  # type: ignore[misc]
    return error


class BoundTests(WriterTestCase):
    def test_too_much_is_refused_at_once(self) -> None:
        works = [self.writer.call(insert, number) for number in range(10)]
        error = self.failureResultOf(self.writer.call(insert, 10), RetryLater).value
        self.assertGreaterEqual(error.retry_after, 1)
        self.threads.run()
        self.assertEqual([self.successResultOf(work) for work in works], list(range(10)))
        again = self.writer.call(insert, 10)
        self.threads.run()
        self.assertEqual(self.successResultOf(again), 10)

    def test_completions_are_never_refused(self) -> None:
        for number in range(10):
            self.writer.call(insert, number)
        needed = self.writer.submit(NEEDED, 20)
        self.threads.run()
        self.assertEqual(self.successResultOf(needed), 20)

    def test_the_end_waits_for_all_that_was_asked(self) -> None:
        works = [self.writer.call(insert, number) for number in range(8)]
        stopped = self.writer.stop()
        self.failureResultOf(self.writer.submit(NEEDED, 20), RetryLater)
        self.assertNoResult(stopped)
        self.threads.run()
        self.assertEqual([self.successResultOf(work) for work in works], list(range(8)))
        self.successResultOf(stopped)

    def test_with_nothing_to_do_the_end_comes_at_once(self) -> None:
        self.successResultOf(self.writer.stop())


class ArrangementTests(SynchronousTestCase):
    """Operations as ``(kind, things touched)``; things None is a barrier."""

    def arranged(self, *wanted: tuple[str, Iterable[Hashable] | None]) -> list[str]:
        kinds: dict[tuple[str, bool], OperationKind[Any, Any]] = {}
        group = []
        for place, (name, things) in enumerate(wanted):
            touches = None if things is None else lambda argument: argument[1]
            kind = kinds.setdefault((name, things is None), OperationKind(lambda c, a: [], touches))
            group.append(_Operation(kind, (place, things), str))
        names = {id(kind): name for (name, _), kind in kinds.items()}
        batches = arranged(group)
        return [names[id(b[0].kind)] + "".join(str(o.argument[0]) for o in b) for b in batches]

    def test_kinds_that_touch_nothing_in_common_come_together(self) -> None:
        self.assertEqual(self.arranged(("a", [1]), ("b", [2]), ("a", [3]), ("b", [4])), ["a02", "b13"])

    def test_what_touches_the_same_keeps_its_order(self) -> None:
        self.assertEqual(self.arranged(("a", [1]), ("b", [1]), ("a", [1])), ["a0", "b1", "a2"])
        self.assertEqual(self.arranged(("a", [1]), ("a", [1])), ["a0", "a1"])
        self.assertEqual(self.arranged(("a", [1]), ("b", [2]), ("a", [2])), ["a0", "b1", "a2"])

    def test_nothing_passes_a_barrier(self) -> None:
        self.assertEqual(self.arranged(("a", [1]), ("x", None), ("a", [2])), ["a0", "x1", "a2"])
        self.assertEqual(self.arranged(("x", None), ("x", None), ("a", [])), ["x01", "a2"])
        self.assertEqual(self.arranged(("x", None), ("a", []), ("x", None)), ["x0", "a1", "x2"])

    @given(
        st.lists(
            st.tuples(st.sampled_from("abc"), st.none() | st.lists(st.integers(0, 4), max_size=3)),
            max_size=30,
        )
    )
    @settings(max_examples=300, deadline=None)
    def test_no_dependent_pair_is_ever_turned_round(self, wanted: list[tuple[str, list[int] | None]]) -> None:
        barrier, plain = OperationKind[Any, Any](lambda c, a: []), {}
        for name in "abc":
            plain[name] = OperationKind[Any, Any](lambda c, a: [], lambda argument: argument[1])
        group = [
            _Operation(barrier if things is None else plain[name], (place, things), str)
            for place, (name, things) in enumerate(wanted)
        ]
        batches = arranged(group)
        flat = [operation for batch in batches for operation in batch]
        self.assertEqual(sorted(map(id, flat)), sorted(map(id, group)))
        place_of = {id(operation): place for place, batch in enumerate(batches) for operation in batch}
        for batch in batches:
            self.assertEqual(len({id(operation.kind) for operation in batch}), 1)
        for second, later in enumerate(group):
            for earlier in group[:second]:
                before, after = place_of[id(earlier)], place_of[id(later)]
                if earlier.kind is barrier or later.kind is barrier:
                    same = earlier.kind is later.kind
                    self.assertTrue(before < after or (same and before == after))
                elif set(earlier.argument[1]) & set(later.argument[1]):
                    self.assertLess(before, after)


class WindowTests(WriterTestCase):
    """While commits are frequent, each waits for more operations."""

    def setUp(self) -> None:
        super().setUp()
        self.clock = Clock()
        self.writer = Writer(
            self.threads,
            self.threads,
            self.engine,
            call_later=self.clock.callLater,
            monotonic=self.clock.seconds,
        )
        self.numbers = count()

    def asked(self) -> Deferred[int]:
        return self.writer.call(insert, next(self.numbers))

    def committed(self, seconds: float) -> None:
        """One operation and its commit, and then that much time."""
        self.asked()
        self.threads.run()
        self.clock.advance(seconds)

    def test_an_image_alone_waits_for_nothing(self) -> None:
        for number in range(4):  # an upload, its lease, its result, and what is recorded of it
            self.committed(0.001)
            self.assertEqual(self.commits, number + 1)

    def test_seldom_commits_wait_for_nothing(self) -> None:
        for number in range(12):
            self.committed(0.021)
            self.assertEqual(self.commits, number + 1)

    def test_what_comes_within_the_window_shares_a_commit(self) -> None:
        for _ in range(5):
            self.committed(0.001)
        works = [self.asked() for _ in range(3)]
        self.threads.run()
        self.clock.advance(0.018)
        self.threads.run()
        works.append(self.asked())
        self.assertEqual((self.commits, [work.called for work in works]), (5, [False] * 4))
        self.clock.advance(0.001)
        self.threads.run()
        self.assertEqual((self.commits, [work.called for work in works]), (6, [True] * 4))

    def test_the_window_closes_when_many_wait(self) -> None:
        for _ in range(5):
            self.committed(0.0)
        works = [self.asked() for _ in range(32)]
        self.threads.run()
        self.assertEqual((self.commits, works[-1].called), (6, True))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_what_comes_during_a_commit_waits_for_the_window_after_it(self) -> None:
        for _ in range(4):
            self.committed(0.001)
        self.asked()
        late: list[Deferred[int]] = []
        event.listen(self.engine, "commit", lambda _: late or late.append(self.asked()))
        self.threads.run()
        self.assertEqual((self.commits, late[0].called), (5, False))
        self.clock.advance(0.02)
        self.threads.run()
        self.assertEqual((self.commits, late[0].called), (6, True))

    def test_the_end_does_not_wait_for_the_window(self) -> None:
        for _ in range(5):
            self.committed(0.001)
        work = self.asked()
        stopped = self.writer.stop()
        self.threads.run()
        self.assertTrue(work.called and stopped.called)
        self.assertEqual((self.commits, self.clock.getDelayedCalls()), (6, []))

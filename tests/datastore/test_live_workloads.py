"""Workloads in memory: current without a query, exact whenever they are read, and never believed for ever."""

from __future__ import annotations

from typing import Any

from dpip.datastore import workloads as workload_rows
from dpip.datastore.datastore import Datastore
from dpip.runtime.threads import InlineThreads
from tests.datastore.support import NOW, DatastoreTestCase, HeldThreads, stored, workload


class LiveTests(DatastoreTestCase):
    def opened(self) -> Datastore:
        self.passed = 0.0
        datastore = Datastore(
            self.database.place, InlineThreads(), InlineThreads, monotonic=lambda: self.passed
        )
        datastore.startService()
        self.addCleanup(datastore.stopService)
        return datastore

    def reads(self) -> list[Any]:
        """Look-ups of workloads from here on."""
        made: list[Any] = []
        get = workload_rows.get

        def counted(*arguments: Any) -> Any:
            made.append(arguments)
            return get(*arguments)

        self.patch(workload_rows, "get", counted)
        return made

    def test_a_polled_workload_costs_no_query_and_is_current(self) -> None:
        jobs = self.prepared("a", "b", "c")
        reads = self.reads()
        self.now(self.datastore.finish(jobs[0].lease, "worker", stored("r", 7), NOW))
        self.now(self.datastore.fail(jobs[1].lease, "bad-picture", "", NOW))
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.accepted, found.filtered, found.failed, found.size), (3, 1, 1, 307))
        self.assertEqual(self.now(self.datastore.endings("w1")), [2])
        self.assertEqual(reads, [])

    def test_what_was_counted_is_what_another_process_reads(self) -> None:
        jobs = self.prepared("a", "b")
        self.now(self.datastore.endings("w1"))
        self.now(self.datastore.finish(jobs[0].lease, "worker", stored("r", 7), NOW))
        self.now(self.datastore.fail(jobs[1].lease, "bad-picture", "", NOW + 1.1234567))
        counted = self.now(self.datastore.workload("w1")), self.now(self.datastore.endings("w1"))
        other = self.opened()
        self.assertEqual((self.now(other.workload("w1")), self.now(other.endings("w1"))), counted)

    def test_a_workload_deleted_by_another_process_is_gone_before_long(self) -> None:
        self.prepared("a")
        self.now(self.opened().delete_workload("w1", NOW))
        self.assertIsNotNone(self.now(self.datastore.workload("w1")))
        self.passed += 31
        self.assertIsNone(self.now(self.datastore.workload("w1")))

    def test_a_value_read_beside_changes_counts_each_of_them_once(self) -> None:
        self.now(self.datastore.add_workload(workload(), None))
        self.uploaded("a")
        threads = HeldThreads()
        slow = Datastore(self.database.place, threads, lambda *_: threads)
        slow.startService()
        before = slow.add_originals("w1", [("b", "rb", stored("b"))], None, NOW)
        read = slow.workload("w1")
        after = slow.add_originals("w1", [("c", "rc", stored("c"))], None, NOW)
        threads.run()
        found = self.now(read)
        assert found is not None
        self.assertEqual(found.accepted, 2)
        self.assertTrue(self.now(before)[1] and self.now(after)[1])
        newest = self.now(slow.workload("w1"))
        assert newest is not None
        self.assertEqual(newest.accepted, 3)
        slow.stopService()
        threads.run()

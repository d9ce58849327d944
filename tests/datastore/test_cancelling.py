from __future__ import annotations

from typing import Any

from sqlalchemy import Connection

from dpip.datastore import cancelling, retries
from dpip.errors import NotFound, StaleLease
from dpip.model import CANCELLED, Outcome, WorkloadStatus
from tests.datastore.support import NOW, DatastoreTestCase, stored, worker, workload


class CancellingTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "127.0.0.1", NOW)
        self.jobs = self.prepared("a", "b", "c", "d")
        self.now(self.datastore.finish(self.jobs[0].lease, "worker", stored("r"), NOW))
        self.now(self.datastore.release([(self.jobs[1].lease, Outcome.CRASHED)], NOW))

    def test_waiting_and_leased_ones_fail_and_the_others_stay(self) -> None:
        cancelled, count = self.now(self.datastore.cancel_workload("w1", NOW + 9))
        self.assertEqual(count, 3)
        self.assertEqual((cancelled.filtered, cancelled.failed), (1, 3))
        self.assertEqual((cancelled.status, cancelled.finished_at), (WorkloadStatus.COMPLETED, NOW + 9))
        self.assertEqual(self.now(self.datastore.workload("w1")), cancelled)
        self.assertEqual(self.now(self.opened().workload("w1")), cancelled)
        found = self.now(self.datastore.results("w1", 0))
        self.assertEqual([seq for seq, _ in found.filtered], [0])
        self.assertEqual([(one.seq, one.code) for one in found.failed], [(n, CANCELLED) for n in (1, 2, 3)])

    def test_leases_are_void_and_no_new_ones_are_given(self) -> None:
        self.now(self.datastore.cancel_workload("w1", NOW))
        for job in self.jobs[1:]:
            self.refused(self.datastore.finish(job.lease, "worker", stored("late"), NOW), StaleLease)
            self.assertIsNone(self.now(self.datastore.fail(job.lease, "late", "", NOW)))
        self.now(self.datastore.release([(self.jobs[2].lease, Outcome.LOST)], NOW))
        self.assertEqual(self.now(self.datastore.lease([(2, "w", "n"), (3, "w", "n")], NOW)), [None, None])
        self.assertEqual(self.now(self.datastore.unfinished(0, 10)), [])

    def test_attempts_under_way_are_on_record(self) -> None:
        self.now(self.datastore.cancel_workload("w1", NOW))
        self.assertEqual(
            self.rows("SELECT job_id, outcome FROM attempts ORDER BY job_id"),
            [(1, "done"), (2, "crashed"), (3, "returned"), (4, "returned")],
        )

    def test_other_workloads_go_on(self) -> None:
        [other] = self.prepared("x", workload_id="w2")
        self.now(self.datastore.cancel_workload("w1", NOW))
        self.assertTrue(self.now(self.datastore.finish(other.lease, "worker", stored("x"), NOW))[1])

    def test_one_that_has_ended_stays_as_it_is(self) -> None:
        self.now(self.datastore.cancel_workload("w1", NOW))
        before = self.now(self.datastore.workload("w1"))
        self.assertEqual(self.now(self.datastore.cancel_workload("w1", NOW + 9)), (before, 0))

    def test_many_are_cancelled_a_slice_at_a_time_with_what_is_retried_meanwhile(self) -> None:
        self.patch(cancelling, "_PLACES", 2)
        cancel, calls = cancelling.cancel, []

        def and_retry(connection: Connection, workload_id: str, first: int, now: float) -> Any:
            calls.append(first)
            answer = cancel(connection, workload_id, first, now)
            if len(calls) == 1:
                retries.retry(connection, workload_id, ["b"], -1, now)
            return answer

        self.patch(cancelling, "cancel", and_retry)
        cancelled, count = self.now(self.datastore.cancel_workload("w1", NOW))
        self.assertEqual((calls, count), ([0, 2, 0], 4))
        self.assertEqual((cancelled.status, cancelled.failed), (WorkloadStatus.COMPLETED, 3))
        self.assertEqual(self.now(self.datastore.unfinished(0, 10)), [])

    def test_none_is_not_found(self) -> None:
        self.refused(self.datastore.cancel_workload("w2", NOW), NotFound)
        self.now(self.datastore.delete_workload("w1", NOW))
        self.refused(self.datastore.cancel_workload("w1", NOW), NotFound)

    def test_one_without_images_waits_for_them_still(self) -> None:
        self.now(self.datastore.add_workload(workload("w2"), None))
        cancelled, count = self.now(self.datastore.cancel_workload("w2", NOW))
        self.assertEqual((cancelled.status, count), (WorkloadStatus.SCHEDULING, 0))

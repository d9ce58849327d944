"""What results may take is reserved when originals come, and settled when their jobs end, however they do."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from dpip.datastore import workloads
from dpip.datastore.uploads import Answer
from dpip.errors import QuotaExceeded
from dpip.model import Outcome, Role
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, worker, workload


class ReservedTests(DatastoreTestCase):
    """bob may keep 1,000 bytes and has the workloads w1 and w2."""

    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "", NOW)
        self.now(self.datastore.add_user("bob", "", Role.USER, 1000, NOW))
        for name in ("w1", "w2"):
            self.now(self.datastore.add_workload(workload(name, owner="bob"), None))

    def add(self, names: str, size: int, reserved: int, workload_id: str = "w1") -> Deferred[Answer]:
        """An original for each letter, of this size, whose result is reckoned to have ``reserved`` bytes."""
        files = [(name, f"{name}-result", stored(name, size, result_bytes=reserved)) for name in names]
        return self.datastore.add_originals(workload_id, files, None, NOW)

    def room(self) -> tuple[int, int]:
        """Bytes used and reserved; the workloads and jobs say the same."""
        found = self.now(self.datastore.user("bob"))
        assert found is not None
        used, reserved = found[0].used, found[0].reserved
        present = "FROM workloads WHERE deleted IS NULL"
        self.assertEqual(self.rows(f"SELECT sum(size), sum(reserved) {present}"), [(used, reserved)])
        unended = "SELECT coalesce(sum(j.reserved), 0) FROM jobs j JOIN workloads w ON w.id = j.workload_id"
        where = "WHERE j.state IN ('waiting', 'leased') AND w.deleted IS NULL"
        self.assertEqual(self.rows(f"{unended} {where}"), [(reserved,)])
        return used, reserved

    def refused_retry(self, names: Sequence[str] | None = None) -> QuotaExceeded:
        error: QuotaExceeded = self.refused(self.datastore.retry_images("w1", names, -1, NOW), QuotaExceeded)
        return error

    def test_what_results_will_take_is_charged_beforehand(self) -> None:
        error = self.refused(self.add("ab", 1, 500), QuotaExceeded)
        self.assertEqual(self.room(), (0, 0))
        self.now(self.add("a", 1, 500))
        self.assertEqual(self.room(), (1, 500))
        error = self.refused(self.add("b", 1, 499, "w2"), QuotaExceeded)
        self.assertEqual(error.members, {"quota": 1000, "used": 1, "reserved": 500})
        self.now(self.add("b", 1, 498, "w2"))
        self.assertEqual(self.room(), (2, 998))

    def test_the_end_of_a_job_settles_it(self) -> None:
        self.now(self.add("abcd", 10, 200))
        done, bad, lost = self.leased(1, 2, 3)
        self.now(self.datastore.finish(done.lease, "worker", stored("r", 30), NOW))
        self.assertEqual(self.room(), (70, 600))
        self.now(self.datastore.finish(done.lease, "worker", stored("r", 30), NOW))  # again: it was not heard
        self.assertEqual(self.room(), (70, 600))
        self.now(self.datastore.fail(bad.lease, "bad-picture", "", NOW))
        self.assertEqual(self.room(), (70, 400))
        self.now(self.datastore.release([(lost.lease, Outcome.LOST)], NOW))
        self.now(self.datastore.recover(NOW))
        self.assertEqual(self.room(), (70, 400))

    def test_a_retry_charges_it_again(self) -> None:
        self.now(self.add("ab", 10, 300))
        for job in self.leased(1, 2):
            self.now(self.datastore.fail(job.lease, "bad-picture", "", NOW))
        self.now(self.add("c", 10, 500, "w2"))
        self.assertIn("reserved", self.refused_retry().detail)
        self.assertEqual(self.room(), (30, 500))
        self.now(self.datastore.retry_images("w1", ["b"], -1, NOW))
        self.assertEqual(self.room(), (30, 800))

    def test_a_cancelled_or_deleted_workload_gives_it_back(self) -> None:
        self.now(self.add("abc", 10, 100))
        self.now(self.add("de", 10, 100, "w2"))
        [done, _] = self.leased(1, 2)
        self.now(self.datastore.finish(done.lease, "worker", stored("r", 30), NOW))
        self.now(self.datastore.cancel_workload("w1", NOW))
        self.assertEqual(self.room(), (80, 200))
        self.now(self.datastore.delete_workload("w2", NOW))
        self.assertEqual(self.room(), (60, 0))
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.rows("SELECT used, reserved FROM users WHERE name = 'bob'"), [(0, 0)])

    def test_a_large_description_of_a_workload_is_charged_while_it_is_there(self) -> None:
        self.patch(workloads, "SPEC_BYTES", 200)
        large = workload("w3", owner="bob", name="x" * 700)
        self.now(self.datastore.add_workload(large, None))
        used, reserved = self.rows("SELECT used, reserved FROM users WHERE name = 'bob'")[0]
        self.assertEqual(used, 0)
        self.assertGreater(reserved, 500)
        self.refused(
            self.datastore.add_workload(workload("w4", owner="bob", name="x" * 700), None), QuotaExceeded
        )
        self.now(self.datastore.delete_workload("w3", NOW))
        self.assertEqual(self.room(), (0, 0))

    def test_the_same_request_again_charges_nothing(self) -> None:
        files = [("a", "ra", stored("a", 10, result_bytes=100))]
        for _ in range(2):
            self.now(self.datastore.add_originals("w1", files, key(owner="bob"), NOW))
        self.assertEqual(self.room(), (10, 100))

    def test_one_result_may_go_beyond_the_quota_and_no_further_one(self) -> None:
        self.now(self.add("abc", 10, 100))
        first, second, third = self.leased(1, 2, 3)
        self.now(self.datastore.finish(first.lease, "worker", stored("r1", 900), NOW))
        self.now(self.datastore.finish(second.lease, "worker", stored("r2", 900), NOW))
        late = self.datastore.finish(third.lease, "worker", stored("r3", 1), NOW)
        self.assertIn("retry", self.refused(late, QuotaExceeded).detail)
        self.assertEqual(self.room(), (1830, 100))
        self.now(self.datastore.fail(third.lease, "quota-exceeded", "", NOW))  # it was leased all the time
        self.assertEqual(self.room(), (1830, 0))
        self.now(self.datastore.delete_workload("w1", NOW))
        self.now(self.add("d", 500, 500, "w2"))

"""How many rows one user may cost, whatever the quota."""

from __future__ import annotations

from dpip.datastore import accounts, purge, retries, workloads
from dpip.errors import TooMany
from dpip.model import Role
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, worker, workload

HOUR, DAY = 3600.0, 24 * 3600.0


class BoundsTests(DatastoreTestCase):
    def test_workloads_without_images(self) -> None:
        self.patch(workloads, "MOST_EMPTY", 2)
        for name in ("w1", "w2"):
            self.now(self.datastore.add_workload(workload(name), None))
        error = self.refused(self.datastore.add_workload(workload("w3"), key()), TooMany)
        self.assertEqual(error.members, {"limit": 2})
        self.now(self.datastore.add_user("bob", "", Role.USER, None, NOW))
        self.now(self.datastore.add_workload(workload("w4", owner="bob"), None))
        self.uploaded("a", workload_id="w1")
        self.now(self.datastore.add_workload(workload("w3"), key()))
        self.now(self.datastore.delete_workload("w2", NOW))
        self.now(self.datastore.add_workload(workload("w5"), None))

    def test_workloads_in_all(self) -> None:
        self.patch(workloads, "MOST_WORKLOADS", 2)
        for name in ("w1", "w2"):
            self.now(self.datastore.add_workload(workload(name), key(name)))
            self.uploaded(name, workload_id=name)
        self.refused(self.datastore.add_workload(workload("w3"), None), TooMany)
        self.assertEqual(self.now(self.datastore.add_workload(workload("w4"), key("w1"))).id, "w1")
        self.now(self.datastore.delete_workload("w1", NOW))
        self.now(self.datastore.add_workload(workload("w3"), None))

    def test_those_without_images_are_found_when_they_are_old_and_deleted_unless_one_has_come(self) -> None:
        for name, made in (("w1", NOW), ("w2", NOW), ("w3", NOW + 10)):
            self.now(self.datastore.add_workload(workload(name, now=made), None))
        self.uploaded("a", workload_id="w2")
        [found] = self.now(self.datastore.workloads_empty_before(NOW + 5, 10))
        self.assertEqual(found.id, "w1")
        self.assertIsNone(self.now(self.datastore.delete_workload("w2", NOW, if_empty=True)))
        self.assertIsNotNone(self.now(self.datastore.workload("w2")))
        self.assertIsNotNone(self.now(self.datastore.delete_workload("w1", NOW, if_empty=True)))
        self.assertIsNone(self.now(self.datastore.workload("w1")))

    def test_tombstones_are_small_and_not_too_many(self) -> None:
        self.patch(purge, "TOMBSTONE_ROWS", 2)
        for number in range(5):
            self.now(self.datastore.add_workload(workload(f"w{number}"), None))
            self.now(self.datastore.delete_workload(f"w{number}", NOW + number))
        self.now(self.datastore.expire(NOW + 9))
        self.assertEqual(self.rows("SELECT public, spec FROM workloads"), [("w3", "{}"), ("w4", "{}")])

    def test_tokens_with_names(self) -> None:
        self.patch(accounts, "MOST_TOKENS", 2)
        for number in range(2):
            self.now(self.datastore.add_token(b"%d" % number, "ann", NOW, NOW + DAY, "robot"))
        more = self.datastore.add_token(b"x", "ann", NOW, NOW + DAY, "robot")
        self.assertEqual(self.refused(more, TooMany).members, {"limit": 2})
        self.now(self.datastore.add_token(b"y", "ann", NOW, NOW + DAY))  # a login's counts for itself
        self.now(self.datastore.add_token(b"x", "ann", NOW + 2 * DAY, NOW + 3 * DAY, "robot"))  # they expired

    def test_the_oldest_login_ends_with_one_too_many(self) -> None:
        self.patch(accounts, "MOST_TOKENS", 2)
        for number in range(4):
            self.now(self.datastore.add_token(b"%d" % number, "ann", NOW + number, NOW + DAY))
        self.now(self.datastore.add_token(b"x", "ann", NOW, NOW + DAY, "robot"))
        found = [digest for (digest,) in self.rows("SELECT digest FROM tokens ORDER BY digest")]
        self.assertEqual(found, [b"2", b"3", b"x"])

    def test_retries(self) -> None:
        self.patch(retries, "MOST_RETRIES", 2)
        self.joined(worker(), "", NOW)
        for job in self.prepared("a", "b"):
            self.now(self.datastore.fail(job.lease, "bad-picture", "", NOW))
        for number in (3, 4, 5, 6):
            self.now(self.datastore.retry_images("w1", ["a"], -1, NOW))
            self.now(self.datastore.fail(self.leased(number)[0].lease, "bad-picture", "", NOW))
        self.refused(self.datastore.retry_images("w1", None, -1, NOW), TooMany)
        self.assertEqual(self.rows("SELECT count(*) FROM jobs"), [(6,)])

    def test_keys_are_kept_for_a_day_and_when_they_are_very_many_for_an_hour(self) -> None:
        self.patch(purge, "KEY_ROWS", 2)
        self.now(self.datastore.add_workload(workload(), None))
        for number in range(4):
            files = [(f"i{number}", f"r{number}", stored(f"i{number}"))]
            self.now(self.datastore.add_originals("w1", files, key(f"k{number}"), NOW + number))
        self.now(self.datastore.expire(NOW + HOUR))
        self.assertEqual(self.rows("SELECT count(*) FROM keys"), [(4,)])
        self.now(self.datastore.expire(NOW + HOUR + 9))
        self.assertEqual(self.rows("SELECT key FROM keys"), [("k2",), ("k3",)])
        self.now(self.datastore.expire(NOW + DAY + 9))
        self.assertEqual(self.rows("SELECT key FROM keys"), [])

    def test_one_user_keeps_no_more_keys_than_some_for_longer_than_minutes(self) -> None:
        self.patch(purge, "KEY_ROWS_EACH", 2)
        self.now(self.datastore.add_workload(workload(), None))
        for number in range(4):
            files = [(f"i{number}", f"r{number}", stored(f"i{number}"))]
            self.now(self.datastore.add_originals("w1", files, key(f"k{number}"), NOW + number))
        self.now(self.datastore.expire(NOW + 9))
        self.assertEqual(self.rows("SELECT count(*) FROM keys"), [(4,)])
        self.now(self.datastore.expire(NOW + 609))
        self.assertEqual(self.rows("SELECT key FROM keys"), [("k2",), ("k3",)])

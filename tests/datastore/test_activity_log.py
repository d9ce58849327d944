from __future__ import annotations

from typing import Any

from attrs import evolve

from dpip.datastore import purge
from dpip.datastore.purge import WORKER_SECONDS
from dpip.errors import WorkerSuspended
from dpip.model import Activity, CertificateRecord, WorkerRecord
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, worker, workload

DAY = 24 * 3600.0


class ActivityTests(DatastoreTestCase):
    def note(self, number: int, at: float = NOW) -> Activity:
        entry = Activity(at, "ann \0", "create-workload", f"w{number}", {"name": "ü\0", "n": number})
        self.now(self.datastore.record(entry))
        return evolve(entry, actor="ann ")

    def test_newest_first_in_pages_that_meet(self) -> None:
        entries = [self.note(number) for number in range(5)]
        first = self.now(self.datastore.activity(None, 2))
        self.assertEqual(first, [(5, entries[4]), (4, entries[3])])
        rest = self.now(self.datastore.activity(first[-1][0], 10))
        self.assertEqual(rest, [(3, entries[2]), (2, entries[1]), (1, entries[0])])
        self.assertEqual(self.now(self.datastore.activity(1, 10)), [])

    def test_it_is_bounded_in_number(self) -> None:
        self.patch(purge, "ACTIVITY_ROWS", 3)
        for number in range(5):
            self.note(number)
        self.now(self.datastore.expire(NOW))
        self.assertEqual([n for n, _ in self.now(self.datastore.activity(None, 10))], [5, 4, 3])

    def test_one_who_does_much_has_nothing_forgotten_that_others_did(self) -> None:
        self.patch(purge, "ACTIVITY_ROWS", 6)
        self.patch(purge, "ACTIVITY_ROWS_EACH", 3)
        for actor in ["ann", "bob", *["eve"] * 20, "ann"]:
            self.now(self.datastore.record(Activity(NOW, actor, "create-workload", "w", {})))
        for _ in range(2):
            self.now(self.datastore.expire(NOW))
            actors = [entry.actor for _, entry in self.now(self.datastore.activity(None, 10))]
            self.assertEqual(actors, ["ann", "eve", "eve", "eve", "bob", "ann"])

    def test_it_is_bounded_in_time(self) -> None:
        for number, age in enumerate([91, 90.5, 89, 0]):
            self.note(number, NOW - age * DAY)
        self.now(self.datastore.expire(NOW))
        self.assertEqual([n for n, _ in self.now(self.datastore.activity(None, 10))], [4, 3])

    def test_numbers_are_never_used_again(self) -> None:
        self.note(1, NOW - 91 * DAY)
        self.now(self.datastore.expire(NOW))
        self.note(2)
        self.assertEqual([n for n, _ in self.now(self.datastore.activity(None, 10))], [2])


class ExpiryTests(DatastoreTestCase):
    def test_dead_tokens_go(self) -> None:
        for digest, expires in ((b"1", NOW - 1), (b"2", NOW + 1)):
            self.now(self.datastore.add_token(digest, "ann", NOW - 9, expires))
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows("SELECT digest FROM tokens"), [(b"2",)])

    def test_keys_are_remembered_for_a_day(self) -> None:
        for name, age in (("w1", 1.1), ("w2", 0.9)):
            self.now(self.datastore.add_workload(workload(name, now=NOW - age * DAY), key(name)))
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows('SELECT "key" FROM keys'), [("w2",)])

    def test_tombstones_stay_for_a_season(self) -> None:
        for name, age in (("w1", 91), ("w2", 89), ("w3", None)):
            self.now(self.datastore.add_workload(workload(name), None))
            if age is not None:
                self.now(self.datastore.delete_workload(name, NOW - age * DAY))
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows("SELECT public FROM workloads"), [("w2",), ("w3",)])

    def test_more_than_a_slice_goes_at_once_in_slices(self) -> None:
        self.patch(purge, "_ROWS", 2)
        for number in range(7):
            self.now(self.datastore.add_token(bytes([number]), "ann", NOW - 9, NOW - 1))
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows("SELECT count(*) FROM tokens"), [(0,)])


class PurgeTests(DatastoreTestCase):
    def test_rows_of_a_deleted_workload_go_in_slices(self) -> None:
        self.patch(purge, "_IMAGES", 2)
        self.prepared(*"abcde")
        self.now(self.datastore.add_workload(workload("w2"), None))
        self.uploaded("kept", workload_id="w2")
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.rows("SELECT public FROM images"), [("kept",)])
        self.assertEqual(self.rows("SELECT count(*) FROM purges"), [(0,)])

    def test_what_a_kill_left_behind_goes_at_the_next_start(self) -> None:
        self.now(self.datastore.add_workload(workload(), None))
        self.uploaded(*"abc")
        self.change("UPDATE workloads SET deleted = 1")
        self.change("INSERT INTO purges SELECT id FROM workloads")
        again = self.opened()
        self.assertEqual(self.now(again.unfinished(0, 10)), [])
        self.now(again.recover(NOW))
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(0,)])
        self.assertEqual(self.rows("SELECT count(*) FROM purges"), [(0,)])

    def test_a_tombstone_stays_until_its_rows_are_gone(self) -> None:
        self.prepared(*"abc")
        self.change("UPDATE workloads SET deleted = 1")
        self.change("INSERT INTO purges SELECT id FROM workloads")
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(0,)])
        self.assertEqual(self.rows("SELECT public FROM workloads"), [("w1",)])
        self.now(self.datastore.expire(NOW))
        self.assertEqual(self.rows("SELECT public FROM workloads"), [])


class WorkerTests(DatastoreTestCase):
    def records(self) -> list[WorkerRecord]:
        return list(self.now(self.datastore.workers(None, None, None)))

    def test_a_worker_is_remembered_joined_and_gone(self) -> None:
        self.joined(worker(), "10.0.0.7", NOW)
        record = WorkerRecord(worker(), "10.0.0.7", NOW, NOW, True, 0, 0, certified_until=NOW + 3600)
        self.assertEqual(self.records(), [record])
        self.now(self.datastore.worker_left("worker", NOW + 5))
        self.assertEqual(self.records(), [evolve(record, joined=False, last_seen=NOW + 5)])

    def test_who_comes_again_keeps_its_history(self) -> None:
        self.joined(worker(), "10.0.0.7", NOW)
        [job] = self.prepared("a")
        self.now(self.datastore.finish(job.lease, "worker", stored("r"), NOW))
        changed = worker(slots=9, fingerprint="engine 2")
        self.joined(changed, "10.0.0.8", NOW + 60)
        record = WorkerRecord(changed, "10.0.0.8", NOW, NOW + 60, True, 1, 0, certified_until=NOW + 3600)
        self.assertEqual(self.records(), [record])

    def test_workers_come_by_name(self) -> None:
        for name in ("b", "c", "a"):
            self.joined(worker(name), "", NOW)
        self.assertEqual([record.info.name for record in self.records()], ["a", "b", "c"])

    def test_an_unknown_worker_may_leave(self) -> None:
        self.now(self.datastore.worker_left("never seen", NOW))
        self.assertEqual(self.records(), [])

    def named(self, *page: Any) -> list[str]:
        return [record.info.name for record in self.now(self.datastore.workers(*page))]

    def test_workers_come_in_pages_by_name(self) -> None:
        for name in "abcd":
            self.joined(worker(name), "10.0.0.7:1", NOW)
        for name in "bd":
            self.now(self.datastore.worker_left(name, NOW))
        self.assertEqual(self.named(None, None, 3), ["a", "b", "c"])
        self.assertEqual(self.named(None, "c", 3), ["d"])
        self.assertEqual((self.named(True, None, None), self.named(False, "b", None)), (["a", "c"], ["d"]))
        self.assertEqual(self.now(self.datastore.gone_workers()), 2)

    def test_when_it_was_seen_moves_while_it_is_joined(self) -> None:
        self.joined(worker("here"), "10.0.0.7:1", NOW)
        self.joined(worker("left"), "10.0.0.7:1", NOW)
        self.now(self.datastore.worker_left("left", NOW + 1))
        self.now(self.datastore.expire(NOW + 60))
        self.assertEqual([record.last_seen for record in self.records()], [NOW + 60, NOW + 1])

    def test_all_have_left_when_the_controller_ends(self) -> None:
        for name in "ab":
            self.joined(worker(name), "10.0.0.7:1", NOW)
        self.now(self.datastore.all_workers_left(NOW + 9))
        self.assertEqual([(one.joined, one.last_seen) for one in self.records()], [(False, NOW + 9)] * 2)

    def test_a_worker_is_forgotten_when_it_was_not_seen_for_long(self) -> None:
        for name in ("gone", "here", "kept out"):
            self.joined(worker(name), "10.0.0.7:1", NOW)
        later = NOW + WORKER_SECONDS
        for name in ("gone", "kept out"):
            self.now(self.datastore.worker_left(name, NOW))
        self.now(self.datastore.worker_offended("kept out", later + 100))
        self.now(self.datastore.expire(later - 1))
        self.assertEqual(self.named(None, None, None), ["gone", "here", "kept out"])
        self.now(self.datastore.expire(later))
        self.assertEqual(self.named(None, None, None), ["here", "kept out"])

    def test_the_last_ones_of_very_many_are_remembered(self) -> None:
        self.joined(worker("here"), "10.0.0.7:1", NOW)
        self.change(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12000) "
            "INSERT INTO workers (name, info, fingerprint, address, first_seen, last_seen, joined) "
            "SELECT 'vm-' || i, info, '', '', 0, i, false FROM n, workers WHERE name = 'here'"
        )
        self.now(self.datastore.expire(1e-3))
        self.assertEqual(
            self.rows("SELECT count(*), min(last_seen) FROM workers WHERE NOT joined"), [(10_000, 2001)]
        )

    def test_a_suspension_holds_for_new_names_of_its_host(self) -> None:
        """Neither a certificate for a new name, nor one that was got before and never used, helps."""
        for name in ("bad", "neighbour"):
            self.joined(worker(name), "10.0.0.7:1", NOW)
        spare = CertificateRecord("spare", "spare", "10.0.0.7:2", NOW, NOW + 3600)
        self.now(self.datastore.issue_certificate(spare, NOW))
        self.now(self.datastore.worker_offended("bad", NOW + 600))
        new = CertificateRecord("new", "new", "10.0.0.7:3", NOW + 1, NOW + 3600)
        self.refused(self.datastore.issue_certificate(new, NOW), WorkerSuspended)
        self.refused(
            self.datastore.worker_joined(worker("spare"), "10.0.0.7:4", NOW + 1, "spare"), WorkerSuspended
        )
        self.joined(worker("neighbour"), "10.0.0.7:5", NOW + 1)
        self.joined(worker("elsewhere"), "10.0.0.70:1", NOW + 1)
        self.joined(worker("later"), "10.0.0.7:6", NOW + 600)

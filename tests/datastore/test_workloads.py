from __future__ import annotations

import json

from attrs import evolve

from dpip.datastore import workloads as workload_rows
from dpip.errors import KeyReused, NotFound
from dpip.model import ALL, UNFINISHED, ImageType, Numbering, Results, Role, Selection, WorkloadStatus
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, workload


class AddingTests(DatastoreTestCase):
    def test_it_is_read_back_as_it_was_given(self) -> None:
        given = workload(
            name="ünï 🎉 \0 ../../etc", tags=("gpu", "x"), output={"quality": 90}, numbering=Numbering.FRAMES
        )
        self.assertEqual(self.now(self.datastore.add_workload(given, None)), given)
        self.assertEqual(self.now(self.datastore.workload("w1")), given)
        self.assertIs(given.status, WorkloadStatus.SCHEDULING)

    def test_nobody_owns_none(self) -> None:
        self.refused(self.datastore.add_workload(workload(owner="bob"), None), NotFound)
        self.assertIsNone(self.now(self.datastore.workload("w1")))

    def test_the_same_key_again_answers_with_the_first(self) -> None:
        first = self.now(self.datastore.add_workload(workload("w1"), key()))
        again = self.now(self.datastore.add_workload(workload("w2"), key()))
        self.assertEqual(again, first)
        self.assertIsNone(self.now(self.datastore.workload("w2")))

    def test_it_answers_with_the_first_as_it_is_now(self) -> None:
        self.now(self.datastore.add_workload(workload("w1"), key()))
        self.uploaded("a")
        self.assertEqual(self.now(self.datastore.add_workload(workload("w2"), key())).accepted, 1)

    def test_a_key_belongs_to_one_request(self) -> None:
        self.now(self.datastore.add_workload(workload("w1"), key(fingerprint="one")))
        self.refused(self.datastore.add_workload(workload("w2"), key(fingerprint="two")), KeyReused)

    def test_a_key_belongs_to_one_kind_of_request(self) -> None:
        self.now(self.datastore.add_workload(workload("w1"), None))
        self.uploaded("a", key=key())
        self.refused(self.datastore.add_workload(workload("w2"), key()), KeyReused)

    def test_keys_of_two_users_are_two_keys(self) -> None:
        self.now(self.datastore.add_user("bob", "", Role.USER, None, NOW))
        self.now(self.datastore.add_workload(workload("w1"), key()))
        other = self.now(self.datastore.add_workload(workload("w2", owner="bob"), key(owner="bob")))
        self.assertEqual(other.id, "w2")

    def test_what_was_made_under_a_key_and_deleted_is_not_made_again(self) -> None:
        self.now(self.datastore.add_workload(workload("w1"), key()))
        self.now(self.datastore.delete_workload("w1", NOW))
        self.refused(self.datastore.add_workload(workload("w2"), key()), NotFound)


class TotalsTests(DatastoreTestCase):
    def test_totals_are_numbers_as_json_has_them(self) -> None:
        self.assertEqual(self.now(self.datastore.totals()), (0, 0, 0))
        self.prepared("a", "b")
        self.assertEqual(json.dumps(self.now(self.datastore.totals())), "[2, 0, 0]")


class ListingTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_user("bob", "", Role.USER, None, NOW))
        for number, owner in enumerate(["ann", "bob", "ann", "ann", "bob"]):
            self.now(self.datastore.add_workload(workload(f"w{number}", owner), None))

    def listed(
        self, owner: str | None = None, which: Selection = ALL, after: str | None = None, limit: int = 10
    ) -> list[str]:
        return [one.id for one in self.now(self.datastore.workloads(owner, which, after, limit))]

    def test_newest_first_and_of_one_owner_or_all(self) -> None:
        self.assertEqual(self.listed(), ["w4", "w3", "w2", "w1", "w0"])
        self.assertEqual(self.listed("ann"), ["w3", "w2", "w0"])
        self.assertEqual(self.listed("nobody"), [])

    def test_by_status_as_the_workload_itself_says_it(self) -> None:
        self.uploaded("a", "b", workload_id="w0")
        [job] = self.uploaded("c", workload_id="w1")
        [leased] = self.leased(job.job.job)
        self.now(self.datastore.fail(leased.lease, "bad-picture", "", NOW))
        self.now(self.datastore.seal_workload("w3", None, NOW))
        for status in WorkloadStatus:
            found = self.now(self.datastore.workloads(None, Selection((status,)), None, 10))
            self.assertEqual({one.status for one in found}, {status})
        both = Selection((WorkloadStatus.COMPLETED, WorkloadStatus.RUNNING))
        self.assertEqual(self.listed(which=both), ["w3", "w1", "w0"])
        self.assertEqual(self.listed(which=UNFINISHED), ["w4", "w2", "w0"])

    def test_by_a_part_of_the_name(self) -> None:
        self.now(self.datastore.add_workload(workload("w5", name="Träume 100%"), None))
        self.assertEqual(self.listed(which=Selection(name="HOLI"), limit=2), ["w4", "w3"])
        for name in ("träume", "100%", "Träume 100%"):
            self.assertEqual(self.listed(which=Selection(name=name)), ["w5"])
        self.assertEqual(self.listed(which=Selection(name="%")), ["w5"])
        self.assertEqual(self.listed(which=Selection(name='"name"')), [])

    def test_pages_meet_without_gap_or_overlap(self) -> None:
        self.assertEqual(self.listed(limit=2), ["w4", "w3"])
        self.assertEqual(self.listed(after="w3", limit=2), ["w2", "w1"])
        self.assertEqual(self.listed("ann", after="w3"), ["w2", "w0"])
        self.assertEqual(self.listed(after="w0"), [])

    def test_a_page_goes_on_behind_a_workload_deleted_meanwhile(self) -> None:
        self.now(self.datastore.delete_workload("w3", NOW))
        self.assertEqual(self.listed(after="w3", limit=2), ["w2", "w1"])
        self.assertEqual(self.listed(), ["w4", "w2", "w1", "w0"])

    def test_a_page_of_long_descriptions_has_fewer(self) -> None:
        self.patch(workload_rows, "PAGE_BYTES", 1)
        self.assertEqual(self.listed(), ["w4", "w3", "w2", "w1", "w0"])
        self.patch(workload_rows, "PAGE_LEAST", 1)
        self.patch(workload_rows, "PAGE_BYTES", 300)
        first = self.listed()
        self.assertEqual(first, ["w4", "w3"])
        self.assertEqual(self.listed(after="w3"), ["w2", "w1"])
        self.patch(workload_rows, "PAGE_BYTES", 1)
        self.assertEqual(self.listed(), ["w4"])

    def test_an_unknown_cursor_ends_the_list(self) -> None:
        self.assertEqual(self.listed(after="nothing"), [])

    def test_the_finished_can_be_left_out(self) -> None:
        for name in ("w0", "w2"):
            [accepted] = self.uploaded(name, workload_id=name)
            if name == "w0":
                [job] = self.leased(accepted.job.job)
                self.now(self.datastore.finish(job.lease, "worker", stored(), NOW))
        self.assertEqual(self.listed("ann", which=UNFINISHED), ["w3", "w2"])
        self.assertEqual(self.listed(which=UNFINISHED), ["w4", "w3", "w2", "w1"])

    def test_finished_ones_come_oldest_first_for_retention(self) -> None:
        for name, at in (("w1", 30.0), ("w0", 10.0), ("w3", 20.0)):
            [accepted] = self.uploaded(name, workload_id=name)
            [job] = self.leased(accepted.job.job)
            self.now(self.datastore.finish(job.lease, "worker", stored(), at))

        def before(when: float, limit: int = 10) -> list[str]:
            return [w.id for w in self.now(self.datastore.workloads_finished_before(when, limit))]

        self.assertEqual(before(10.0), [])
        self.assertEqual(before(30.5), ["w0", "w3", "w1"])
        self.assertEqual(before(30.5, limit=2), ["w0", "w3"])
        self.uploaded("more", workload_id="w0")
        self.now(self.datastore.delete_workload("w3", NOW))
        self.assertEqual(before(30.5), ["w1"])


class DeletingTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        [self.job, self.other] = self.prepared("a", "b")
        self.now(self.datastore.finish(self.job.lease, "worker", stored("r", 7), NOW))

    def test_it_is_gone_for_every_reader(self) -> None:
        deleted = self.now(self.datastore.delete_workload("w1", NOW))
        assert deleted is not None
        self.assertEqual((deleted.id, deleted.accepted, deleted.filtered), ("w1", 2, 1))
        store = self.datastore
        self.assertIsNone(self.now(store.workload("w1")))
        self.assertEqual(self.now(store.workloads("ann", ALL, None, 10)), [])
        self.assertIsNone(self.now(store.image("a")))
        self.assertIsNone(self.now(store.image("a-result")))
        self.assertIsNone(self.now(store.image_at("w1", ImageType.ORIGINAL, 0)))
        self.assertEqual(self.now(store.images("w1", ImageType.ORIGINAL, None, 10)), [])
        self.assertEqual(self.now(store.results("w1", 0)), Results([], []))
        self.assertEqual(self.now(store.directories()), frozenset())
        self.assertEqual(self.now(store.paths("holiday-w1")), frozenset())

    def test_a_tombstone_remains_and_the_rows_go(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.rows("SELECT public, deleted FROM workloads"), [("w1", int(NOW * 1e6))])
        for table in ("images", "jobs", "attempts", "purges"):
            self.assertEqual(self.rows(f"SELECT count(*) FROM {table}"), [(0,)], table)

    def test_the_owner_gets_its_bytes_back(self) -> None:
        self.now(self.datastore.add_workload(workload("w2"), None))
        self.uploaded("c", workload_id="w2", size=11)
        self.assertEqual(self.used(), 218)
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.used(), 11)

    def used(self) -> int:
        found = self.now(self.datastore.user("ann"))
        assert found is not None
        return found[0].used

    def test_twice_is_none(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertIsNone(self.now(self.datastore.delete_workload("w1", NOW)))
        self.assertIsNone(self.now(self.datastore.delete_workload("never", NOW)))
        self.assertEqual(self.used(), 0)

    def test_another_workload_may_have_the_deleted_ones_name_but_not_its_id(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        again = evolve(workload("w3"), created_at=NOW + 1)
        self.assertEqual(self.now(self.datastore.add_workload(again, None)), again)

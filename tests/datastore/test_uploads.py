from __future__ import annotations

from attrs import evolve
from twisted.internet.defer import Deferred

from dpip.datastore.uploads import Answer
from dpip.errors import KeyReused, NotFound, QuotaExceeded
from dpip.model import AcceptedOriginal, Image, ImageType, Role, WaitingJob, WorkloadStatus
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, workload


class UploadTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_workload(workload(), None))

    def test_images_and_jobs_come_in_the_order_given(self) -> None:
        files = [("b", "rb", stored("b", 7)), ("a", "ra", stored("a", 5))]
        accepted, fresh = self.now(self.datastore.add_originals("w1", files, None, NOW))
        self.assertTrue(fresh)
        expected = [
            AcceptedOriginal(
                Image(name, "w1", ImageType.ORIGINAL, seq, file, NOW), WaitingJob(seq + 1, 1200, 3600)
            )
            for seq, (name, _, file) in enumerate(files)
        ]
        self.assertEqual(accepted, expected)
        images = self.now(self.datastore.images("w1", ImageType.ORIGINAL, None, 10))
        self.assertEqual(images, [one.image for one in expected])
        self.assertEqual(self.now(self.datastore.unfinished(0, 10)), [("w1", one.job) for one in expected])

    def test_places_go_on_where_they_ended(self) -> None:
        self.uploaded("a", "b")
        self.assertEqual([one.image.seq for one in self.uploaded("c", "d")], [2, 3])

    def test_each_workload_counts_its_own_places(self) -> None:
        self.now(self.datastore.add_workload(workload("w2"), None))
        self.uploaded("a", "b")
        [other] = self.uploaded("c", workload_id="w2")
        self.assertEqual((other.image.seq, other.job.job), (0, 3))

    def test_counters_follow(self) -> None:
        self.uploaded("a", "b", size=30)
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.accepted, found.size, found.version), (2, 60, 1))
        self.assertIs(found.status, WorkloadStatus.RUNNING)
        self.assertEqual(self.used(), 60)

    def test_a_completed_workload_is_opened_again(self) -> None:
        [job] = self.leased(self.uploaded("a")[0].job.job)
        self.now(self.datastore.finish(job.lease, "worker", stored("r"), NOW + 9))
        done = self.now(self.datastore.workload("w1"))
        assert done is not None
        self.assertEqual((done.status, done.finished_at), (WorkloadStatus.COMPLETED, NOW + 9))
        self.uploaded("b")
        again = self.now(self.datastore.workload("w1"))
        assert again is not None
        self.assertEqual((again.status, again.finished_at), (WorkloadStatus.RUNNING, None))
        self.assertGreater(again.version, done.version)

    def test_the_time_before_it_was_opened_again_is_kept_once(self) -> None:
        [job] = self.leased(self.uploaded("a")[0].job.job)
        self.now(self.datastore.finish(job.lease, "worker", stored("r"), NOW + 9))
        self.now(self.datastore.workload("w1"))  # looked at, before and after
        for name, at in (("b", NOW + 12), ("c", NOW + 20)):
            self.now(self.datastore.add_originals("w1", [(name, f"r{name}", stored())], None, at))
            again = self.now(self.datastore.workload("w1"))
            assert again is not None
            self.assertEqual(again.idle_seconds, 3)

    def test_there_must_be_such_a_workload(self) -> None:
        for missing in ("w9", "", "w1\udcff"):
            with self.subTest(missing=missing):
                self.refused(
                    self.datastore.add_originals(missing, [("a", "ra", stored())], None, NOW), NotFound
                )
        self.now(self.datastore.delete_workload("w1", NOW))
        self.refused(self.datastore.add_originals("w1", [("a", "ra", stored())], None, NOW), NotFound)
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(0,)])

    def test_a_clients_file_name_is_kept_as_data(self) -> None:
        for number, (given, kept) in enumerate(
            [
                ("../../etc/passwd", "../../etc/passwd"),
                ("smile 🎉\n\x7f\"'", "smile 🎉\n\x7f\"'"),
                ("x" * 300, "x" * 300),
                ("nul\0here", "nulhere"),
                ("half \ud83d pair", "half ? pair"),
                ("", ""),
            ]
        ):
            with self.subTest(given=given):
                file = evolve(stored(), name=given)
                self.now(self.datastore.add_originals("w1", [(f"i{number}", f"r{number}", file)], None, NOW))
                image = self.now(self.datastore.image(f"i{number}"))
                assert image is not None
                self.assertEqual(image.file.name, kept)

    def test_a_place_is_found(self) -> None:
        [first, second] = self.uploaded("a", "b")
        at = self.datastore.image_at
        self.assertEqual(self.now(at("w1", ImageType.ORIGINAL, 1)), second.image)
        self.assertIsNone(self.now(at("w1", ImageType.ORIGINAL, 2)))
        self.assertIsNone(self.now(at("w1", ImageType.FILTERED, 0)))
        self.assertIsNone(self.now(at("w2", ImageType.ORIGINAL, 0)))
        self.assertEqual(self.now(self.datastore.image("a")), first.image)
        self.assertIsNone(self.now(self.datastore.image("never")))

    def test_pages_of_images_meet(self) -> None:
        self.uploaded(*"abcde")

        def page(after: int | None, limit: int) -> list[str]:
            return [i.id for i in self.now(self.datastore.images("w1", ImageType.ORIGINAL, after, limit))]

        self.assertEqual(
            [page(None, 2), page(1, 2), page(3, 2), page(4, 2)], [["a", "b"], ["c", "d"], ["e"], []]
        )

    def used(self) -> int:
        found = self.now(self.datastore.user("ann"))
        assert found is not None
        return found[0].used


class QuotaTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_user("bob", "", Role.USER, 100, NOW))
        for name in ("w1", "w2"):
            self.now(self.datastore.add_workload(workload(name, owner="bob"), None))

    def add(self, name: str, *sizes: int, workload_id: str = "w1") -> Deferred[Answer]:
        files = [(f"{name}{n}", f"r{name}{n}", stored(f"{name}{n}", size)) for n, size in enumerate(sizes)]
        return self.datastore.add_originals(workload_id, files, None, NOW)

    def test_the_last_byte_fits_and_the_next_does_not(self) -> None:
        self.now(self.add("a", 60, 40))
        error = self.refused(self.add("b", 1), QuotaExceeded)
        self.assertEqual(error.members, {"quota": 100, "used": 100})

    def test_all_or_none(self) -> None:
        self.refused(self.add("a", 60, 41), QuotaExceeded)
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(0,)])
        self.assertEqual(self.rows("SELECT count(*) FROM jobs"), [(0,)])

    def test_it_is_one_quota_for_all_workloads(self) -> None:
        self.now(self.add("a", 60))
        self.refused(self.add("b", 60, workload_id="w2"), QuotaExceeded)

    def test_results_count_and_are_never_refused(self) -> None:
        [[accepted], _] = self.now(self.add("a", 60))
        [job] = self.leased(accepted.job.job)
        self.now(self.datastore.finish(job.lease, "worker", stored("r", 500), NOW))
        found = self.now(self.datastore.user("bob"))
        assert found is not None
        self.assertEqual(found[0].used, 560)
        error = self.refused(self.add("b", 1), QuotaExceeded)
        self.assertIn("0 of the quota", error.detail)

    def test_what_is_deleted_counts_no_more(self) -> None:
        self.now(self.add("a", 100))
        self.now(self.datastore.delete_workload("w1", NOW))
        self.now(self.add("b", 100, workload_id="w2"))


class KeyTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_workload(workload(), None))
        self.uploaded("before")

    def test_the_same_request_again_answers_with_the_same_images(self) -> None:
        first = self.uploaded("a", "b", key=key())
        again, fresh = self.now(
            self.datastore.add_originals(
                "w1", [("c", "rc", stored("c")), ("d", "rd", stored("d"))], key(), NOW + 5
            )
        )
        self.assertFalse(fresh)
        self.assertEqual(again, first)
        self.assertEqual(self.rows("SELECT count(*) FROM images"), [(3,)])

    def test_it_holds_when_the_quota_is_used_up_meanwhile(self) -> None:
        first = self.uploaded("a", key=key())
        self.change("UPDATE users SET quota = 1")
        again, fresh = self.now(self.datastore.add_originals("w1", [("c", "rc", stored())], key(), NOW))
        self.assertEqual((again, fresh), (first, False))

    def test_another_request_under_the_same_key_is_refused(self) -> None:
        self.uploaded("a", key=key(fingerprint="one"))
        second = self.datastore.add_originals("w1", [("c", "rc", stored())], key(fingerprint="two"), NOW)
        self.refused(second, KeyReused)

    def test_a_workloads_key_is_not_an_uploads(self) -> None:
        self.now(self.datastore.add_workload(workload("w2"), key()))
        self.refused(self.datastore.add_originals("w1", [("c", "rc", stored())], key(), NOW), KeyReused)

    def test_a_refused_upload_leaves_its_key_free(self) -> None:
        self.refused(self.datastore.add_originals("w9", [("c", "rc", stored())], key(), NOW), NotFound)
        _, fresh = self.now(self.datastore.add_originals("w1", [("c", "rc", stored())], key(), NOW))
        self.assertTrue(fresh)

    def test_what_has_been_deleted_is_not_found(self) -> None:
        self.uploaded("a", key=key())
        self.now(self.datastore.delete_workload("w1", NOW))
        self.refused(self.datastore.add_originals("w1", [("c", "rc", stored())], key(), NOW), NotFound)

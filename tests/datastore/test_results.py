from __future__ import annotations

from typing import Any

from attrs import astuple, evolve

from dpip.datastore import images
from dpip.errors import StaleLease
from dpip.model import (
    ALL,
    RESULTS_PAGE,
    Failure,
    Image,
    ImageType,
    Lease,
    Outcome,
    StoredFile,
    WorkloadStatus,
)
from tests.datastore.support import NOW, PICTURE, DatastoreTestCase, stored, worker

RESULT = StoredFile("holiday/results/r.png", 7, "result's sha", PICTURE, "a.png")


class FinishTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "127.0.0.1", NOW)
        [self.job, self.other] = self.prepared("a", "b")

    def finish(self, lease: Lease, file: StoredFile = RESULT) -> tuple[Image, bool]:
        return self.now(self.datastore.finish(lease, "worker", file, NOW + 5))

    def test_the_result_has_the_reserved_id_and_the_originals_place(self) -> None:
        image, fresh = self.finish(self.other.lease)
        self.assertTrue(fresh)
        self.assertEqual(image, Image("b-result", "w1", ImageType.FILTERED, 1, RESULT, NOW + 5))
        self.assertEqual(self.now(self.datastore.image("b-result")), image)
        self.assertEqual(self.now(self.datastore.image_at("w1", ImageType.FILTERED, 1)), image)

    def test_counters_follow(self) -> None:
        self.finish(self.job.lease)
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.filtered, found.failed, found.size, found.version), (1, 0, 207, 2))
        self.assertEqual((found.status, found.finished_at), (WorkloadStatus.RUNNING, None))
        self.finish(self.other.lease)
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.filtered, found.size, found.version), (2, 214, 3))
        self.assertEqual((found.status, found.finished_at), (WorkloadStatus.COMPLETED, NOW + 5))
        ann = self.now(self.datastore.user("ann"))
        assert ann is not None
        self.assertEqual(ann[0].used, 214)
        [record] = self.now(self.datastore.workers(None, None, None))
        self.assertEqual((record.done, record.failed), (2, 0))

    def test_results_with_notices_are_counted(self) -> None:
        self.now(self.datastore.workload("w1"))  # counted in memory from here on
        self.finish(self.job.lease, evolve(RESULT, notices=("The profile is missing.", "É")))
        self.finish(self.other.lease)
        known = self.now(self.datastore.workload("w1"))
        [stored] = self.now(self.datastore.workloads(None, ALL, None, 10))
        self.assertEqual([found and found.noticed for found in (known, stored)], [1, 1])

    def test_the_same_content_again_answers_the_same_and_changes_nothing(self) -> None:
        image, _ = self.finish(self.job.lease)
        before = self.now(self.datastore.workload("w1"))
        again = evolve(RESULT, path="holiday/results/another.png")
        self.assertEqual(self.finish(self.job.lease, again), (image, False))
        self.assertEqual(self.now(self.datastore.workload("w1")), before)

    def test_other_content_for_a_finished_job_is_stale(self) -> None:
        self.finish(self.job.lease)
        other = evolve(RESULT, sha256="something else")
        self.refused(self.datastore.finish(self.job.lease, "worker", other, NOW), StaleLease)
        image = self.now(self.datastore.image("a-result"))
        assert image is not None
        self.assertEqual(image.file, RESULT)

    def test_all_of_a_lease_must_match(self) -> None:
        for lease in (Lease(1, 1, "n2"), Lease(1, 2, "n1"), Lease(1, 0, "n1"), Lease(9, 1, "n9")):
            with self.subTest(lease=lease):
                self.refused(self.datastore.finish(lease, "worker", RESULT, NOW), StaleLease)
        self.assertEqual(self.rows("SELECT count(*) FROM images WHERE type = 'filtered'"), [(0,)])

    def test_a_late_result_of_an_attempt_given_up_is_stale(self) -> None:
        self.now(self.datastore.release([(self.job.lease, Outcome.LOST)], NOW))
        self.refused(self.datastore.finish(self.job.lease, "worker", RESULT, NOW), StaleLease)
        [again] = self.leased(1, worker="other", nonce="m")
        self.refused(self.datastore.finish(self.job.lease, "worker", RESULT, NOW), StaleLease)
        self.assertTrue(self.finish(again.lease)[1])
        self.assertFalse(self.finish(self.job.lease)[1], "equal content is welcome from anyone")

    def test_a_failed_job_takes_no_result(self) -> None:
        self.now(self.datastore.fail(self.job.lease, "bad-picture", "", NOW))
        self.refused(self.datastore.finish(self.job.lease, "worker", RESULT, NOW), StaleLease)

    def test_a_deleted_workload_takes_no_result(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        self.refused(self.datastore.finish(self.job.lease, "worker", RESULT, NOW), StaleLease)
        ann = self.now(self.datastore.user("ann"))
        assert ann is not None
        self.assertEqual(ann[0].used, 0)


class FailTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "127.0.0.1", NOW)
        self.jobs = self.prepared("a", "b", "c")

    def fail_job(self, lease: Lease, detail: str = "why") -> Any:
        return self.now(self.datastore.fail(lease, "corrupt-picture", detail, NOW + 5))

    def test_the_reason_is_kept_and_the_rest_goes_on(self) -> None:
        self.assertTrue(self.fail_job(self.jobs[1].lease, "cut short \0\udc80"))
        self.now(self.datastore.finish(self.jobs[2].lease, "worker", stored("r"), NOW))
        filtered, failures = astuple(self.now(self.datastore.results("w1", 0)), recurse=False)
        self.assertEqual(filtered, [(2, "c-result")])
        self.assertEqual(failures, [Failure(1, "b", "b.png", "corrupt-picture", "cut short ?")])

    def test_counters_follow(self) -> None:
        for job in self.jobs:
            self.fail_job(job.lease)
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.filtered, found.failed, found.version), (0, 3, 4))
        self.assertEqual((found.status, found.finished_at), (WorkloadStatus.COMPLETED, NOW + 5))
        [record] = self.now(self.datastore.workers(None, None, None))
        self.assertEqual((record.done, record.failed), (0, 3))

    def test_a_stale_word_changes_nothing(self) -> None:
        self.assertTrue(self.fail_job(self.jobs[0].lease, "first"))
        self.now(self.datastore.finish(self.jobs[1].lease, "worker", stored("r"), NOW))
        for lease in (self.jobs[0].lease, self.jobs[1].lease, Lease(3, 1, "x"), Lease(8, 1, "n8")):
            self.assertFalse(self.fail_job(lease, "second"))
        filtered, failures = astuple(self.now(self.datastore.results("w1", 0)), recurse=False)
        self.assertEqual((filtered, [f.detail for f in failures]), ([(1, "b-result")], ["first"]))


class ResultsTests(DatastoreTestCase):
    def test_upload_order_whatever_order_they_finished_in(self) -> None:
        jobs = self.prepared(*"abcdef")
        for job in (jobs[5], jobs[0], jobs[3]):
            self.now(self.datastore.finish(job.lease, "worker", stored(job.result_id), NOW))
        for job in (jobs[4], jobs[1]):
            self.now(self.datastore.fail(job.lease, "bad-picture", "", NOW))
        filtered, failures = astuple(self.now(self.datastore.results("w1", 0)), recurse=False)
        self.assertEqual(filtered, [(0, "a-result"), (3, "d-result"), (5, "f-result")])
        self.assertEqual([failure.seq for failure in failures], [1, 4])

    def test_longer_lists_of_paths_than_one_slice_are_whole(self) -> None:
        self.patch(images, "_SLICE", 2)
        jobs = self.prepared(*"abcdefgh")
        for job in jobs[:5]:
            self.now(self.datastore.finish(job.lease, "worker", stored(job.result_id), NOW))
        self.assertEqual(len(self.now(self.datastore.paths("holiday-w1"))), 13)

    def test_results_are_told_page_by_page(self) -> None:
        jobs = self.prepared(*[f"i{number}" for number in range(RESULTS_PAGE + 3)])
        for seq in (5, RESULTS_PAGE - 1, RESULTS_PAGE, RESULTS_PAGE + 2):
            self.now(self.datastore.finish(jobs[seq].lease, "worker", stored(f"r{seq}"), NOW))
        for seq in (4, RESULTS_PAGE + 1):
            self.now(self.datastore.fail(jobs[seq].lease, "bad-picture", "", NOW))
        first, second = (self.now(self.datastore.results("w1", page)) for page in (0, 1))
        self.assertEqual([seq for seq, _ in first.filtered], [5, RESULTS_PAGE - 1])
        self.assertEqual([seq for seq, _ in second.filtered], [RESULTS_PAGE, RESULTS_PAGE + 2])
        self.assertEqual([failure.seq for failure in first.failed], [4])
        self.assertEqual([failure.seq for failure in second.failed], [RESULTS_PAGE + 1])
        self.assertEqual(self.now(self.datastore.endings("w1")), [3, 3])

    def test_a_page_is_of_one_moment_however_long_it_takes_to_read(self) -> None:
        jobs = self.prepared("a", "b")
        self.now(self.datastore.finish(jobs[0].lease, "worker", stored("r"), NOW))
        fetch = images.fetch

        def slow(*args: Any, **kwargs: Any) -> Any:
            found = fetch(*args, **kwargs)
            self.datastore.fail(jobs[1].lease, "bad-picture", "", NOW)
            return found

        self.patch(images, "fetch", slow)
        found = self.now(self.datastore.results("w1", 0))
        self.assertEqual((found.filtered, found.failed), ([(0, "a-result")], []))
        self.assertEqual(len(self.now(self.datastore.results("w1", 0)).failed), 1)

    def test_paths_and_directories_tell_the_sweep_what_to_keep(self) -> None:
        [job] = self.prepared("a")
        self.now(self.datastore.finish(job.lease, "worker", RESULT, NOW))
        self.assertEqual(
            self.now(self.datastore.paths("holiday-w1")), {"holiday/originals/a.png", RESULT.path}
        )
        self.assertEqual(self.now(self.datastore.paths("holiday-w2")), frozenset())
        self.assertEqual(self.now(self.datastore.directories()), {"holiday-w1"})

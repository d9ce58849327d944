from __future__ import annotations

from collections.abc import Sequence

from dpip.datastore import retries
from dpip.errors import NotFound, StaleLease
from dpip.model import Failure, Lease, Outcome, WaitingJob, WorkloadStatus
from tests.datastore.support import NOW, DatastoreTestCase, key, stored, worker


class RetryTests(DatastoreTestCase):
    """Of a, b, c and d, all but a have failed."""

    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "127.0.0.1", NOW)
        self.jobs = self.prepared("a", "b", "c", "d")
        self.now(self.datastore.finish(self.jobs[0].lease, "worker", stored("r"), NOW))
        for job in self.jobs[1:]:
            self.now(self.datastore.fail(job.lease, "bad-picture", "torn", NOW))

    def retried(self, *names: str, after: int = -1) -> Sequence[WaitingJob]:
        named = names or None
        return self.now(self.datastore.retry_images("w1", named, after, NOW + 5))[1]

    def test_each_gets_a_new_job_that_starts_afresh(self) -> None:
        self.assertEqual(list(self.retried()), [WaitingJob(number, 1200, 3600) for number in (5, 6, 7)])
        [job] = self.leased(6)
        self.assertEqual(job.lease, Lease(6, 1, "n6"))
        self.assertEqual((job.original.id, job.original.seq, job.result_id), ("c", 2, "c-result"))

    def test_the_workload_is_open_again(self) -> None:
        self.retried("b")
        found = self.now(self.datastore.workload("w1"))
        assert found is not None
        self.assertEqual((found.filtered, found.failed, found.retried), (1, 2, 1))
        self.assertEqual((found.status, found.finished_at), (WorkloadStatus.RUNNING, None))
        self.assertEqual(self.now(self.opened().workload("w1")), found)
        self.assertEqual([f.seq for f in self.now(self.datastore.results("w1", 0)).failed], [2, 3])

    def test_the_time_that_it_lay_completed_is_not_time_that_it_took(self) -> None:
        for place, ended in ((5, NOW + 7), (6, NOW + 27)):
            self.now(self.datastore.retry_images("w1", ["b"], -1, ended - 2))
            self.now(self.datastore.fail(self.leased(place)[0].lease, "bad-picture", "torn", ended))
            found = self.now(self.datastore.workload("w1"))
            assert found is not None
            assert found.finished_at is not None
            self.assertEqual(found.finished_at - found.idle_seconds - NOW, 2 * (place - 4))
            self.assertEqual(self.now(self.opened().workload("w1")), found)
        self.assertEqual(
            self.now(self.datastore.retry_images("w1", ["b", "c"], -1, NOW + 30))[0].idle_seconds, 26
        )
        self.assertEqual(self.now(self.datastore.retry_images("w1", ["d"], -1, NOW + 40))[0].idle_seconds, 26)

    def test_the_new_job_ends_for_itself(self) -> None:
        self.retried("b")
        [job] = self.leased(5)
        self.refused(self.datastore.finish(self.jobs[1].lease, "worker", stored("x"), NOW), StaleLease)
        image, fresh = self.now(self.datastore.finish(job.lease, "worker", stored("b2"), NOW))
        self.assertEqual((image.id, fresh), ("b-result", True))
        self.assertEqual(
            self.rows("SELECT id, state, code FROM jobs WHERE original_id = 2 ORDER BY id"),
            [(2, "failed", "bad-picture"), (5, "done", None)],
        )

    def test_what_fails_again_fails_for_its_own_reason(self) -> None:
        self.retried("b")
        [job] = self.leased(5)
        self.now(self.datastore.fail(job.lease, "too-large", "huge", NOW))
        failed = self.now(self.datastore.results("w1", 0)).failed
        self.assertEqual(failed[0], Failure(1, "b", "b.png", "too-large", "huge"))
        self.assertEqual([job.job for job in self.retried("b")], [6])

    def test_every_change_of_a_page_shows_in_its_count(self) -> None:
        seen = [self.now(self.datastore.endings("w1"))]
        self.retried("b")
        seen.append(self.now(self.datastore.endings("w1")))
        [job] = self.leased(5)
        self.now(self.datastore.fail(job.lease, "too-large", "huge", NOW))
        seen.append(self.now(self.datastore.endings("w1")))
        self.assertEqual(seen, [[4], [5], [6]])
        self.assertEqual(self.now(self.opened().endings("w1")), [6])

    def test_crashes_and_losses_are_forgiven(self) -> None:
        [one] = self.retried("b")
        self.leased(5)
        self.now(self.datastore.release([(Lease(5, 1, "n5"), Outcome.CRASHED)], NOW))
        self.assertEqual(one, WaitingJob(5, 1200, 3600))
        waiting = dict(self.rows("SELECT id, crashes FROM jobs"))
        self.assertEqual((waiting[2], waiting[5]), (0, 1))

    def test_what_has_not_failed_stays_as_it_is(self) -> None:
        before = self.now(self.datastore.workload("w1"))
        self.assertEqual(self.retried("a"), [])
        self.assertEqual(self.now(self.datastore.workload("w1")), before)

    def test_an_image_of_another_workload_is_not_found_and_nothing_happens(self) -> None:
        self.prepared("x", workload_id="w2")
        for name in ("x", "nothing", "b-result", "a-result"):
            self.refused(self.datastore.retry_images("w1", ["b", name], -1, NOW), NotFound)
        self.refused(self.datastore.retry_images("w3", None, -1, NOW), NotFound)
        self.assertEqual(len(self.now(self.datastore.results("w1", 0)).failed), 3)

    def test_many_are_made_a_slice_at_a_time(self) -> None:
        self.patch(retries, "_SLICE", 2)
        _, first, further = self.now(self.datastore.retry_images("w1", None, -1, NOW))
        self.assertEqual((len(first), further), (2, 2))
        _, second, end = self.now(self.datastore.retry_images("w1", None, 2, NOW))
        self.assertEqual((len(second), end), (1, None))

    def test_an_upload_sent_again_is_answered_with_the_newest_job(self) -> None:
        [accepted] = self.uploaded("e", key=key())
        self.now(self.datastore.cancel_workload("w1", NOW))
        [again] = self.retried("e")
        [repeated] = self.uploaded("e", key=key())
        self.assertEqual((repeated.image, repeated.job), (accepted.image, again))

    def test_all_jobs_go_with_their_workload(self) -> None:
        self.retried()
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.rows("SELECT count(*) FROM jobs"), [(0,)])

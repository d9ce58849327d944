"""Operations that meet in one transaction: each sees what those before it have done."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sqlalchemy import event
from twisted.internet.defer import Deferred

from dpip.datastore import activity_log, jobs, results, uploads
from dpip.datastore.datastore import Datastore
from dpip.datastore.writer import OperationKind, Writer
from dpip.errors import NotFound, QuotaExceeded, RetryLater, StaleLease
from dpip.model import Activity, ImageType, Lease, Outcome, Role
from tests.datastore.support import NOW, DatastoreTestCase, HeldThreads, key, stored, workload


class GroupTestCase(DatastoreTestCase):
    """Writes wait until ``self.threads.run()``; reads do not."""

    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_workload(workload(), None))
        self.now(self.datastore.add_workload(workload("w2"), None))
        self.held: list[HeldThreads] = []
        self.together = Datastore(self.database.place, HeldThreads(), self.hold)
        self.together.startService()
        self.addCleanup(self.end)

    def hold(self, most: int, name: str) -> HeldThreads:
        self.held.append(HeldThreads())
        return self.held[-1]

    def end(self) -> None:
        self.together.stopService()
        self.held[0].run()

    def group(self, *calls: Callable[[], Deferred[Any]], commits: int = 1) -> list[Deferred[Any]]:
        """What became of all of them in one transaction (and those that their answers led to)."""
        works = [call() for call in calls]
        for work in works:
            self.assertNoResult(work)
        storage = self.together._storage
        assert storage is not None
        heard: list[Any] = []
        listener = heard.append
        event.listen(storage.writer._engine, "commit", listener)
        self.held[0].run()
        event.remove(storage.writer._engine, "commit", listener)
        self.assertEqual(len(heard), commits)
        return works

    def add(self, name: str, size: int = 100, workload_id: str = "w1", **options: Any) -> Deferred[Any]:
        files = [(name, f"r{name}", stored(name, size))]
        return self.together.add_originals(workload_id, files, options.get("key"), NOW)


class UploadGroupTests(GroupTestCase):
    def test_places_are_given_out_in_the_order_of_arrival(self) -> None:
        works = self.group(
            lambda: self.add("a"),
            lambda: self.add("x", workload_id="w2"),
            lambda: self.add("b"),
            lambda: self.add("y", workload_id="w9"),
            lambda: self.add("c"),
        )
        self.refused(works.pop(3), NotFound)
        found = [self.now(work)[0][0] for work in works]
        places = [(one.image.id, one.image.seq, one.job.job) for one in found]
        self.assertEqual(places, [("a", 0, 1), ("x", 0, 2), ("b", 1, 3), ("c", 2, 4)])
        counted = self.now(self.opened().workload("w1"))
        assert counted is not None
        self.assertEqual((counted.accepted, counted.size), (3, 300))

    def test_the_same_key_twice_is_one_upload(self) -> None:
        works = self.group(lambda: self.add("a", key=key()), lambda: self.add("b", key=key()))
        (first, fresh), (second, again) = [self.now(work) for work in works]
        self.assertEqual(first, second)
        self.assertEqual((fresh, again), (True, False))

    def test_a_quota_is_shared_among_those_that_come_together(self) -> None:
        self.change("UPDATE users SET quota = 250")
        works = self.group(
            lambda: self.add("a"),
            lambda: self.add("b", workload_id="w2"),
            lambda: self.add("c"),
            lambda: self.add("d", size=50),
        )
        self.refused(works.pop(2), QuotaExceeded)
        self.assertEqual([self.now(work)[1] for work in works], [True, True, True])
        found = self.now(self.datastore.user("ann"))
        assert found is not None
        self.assertEqual(found[0].used, 250)

    def test_an_upload_before_the_end_of_its_workload_and_one_after_it(self) -> None:
        before, deleted, after = self.group(
            lambda: self.add("a"),
            lambda: self.together.delete_workload("w1", NOW),
            lambda: self.add("b"),
            commits=3,  # and two slices of rows to remove
        )
        self.assertTrue(self.now(before)[1])
        gone = self.now(deleted)
        assert gone is not None
        self.assertEqual(gone.accepted, 1)
        self.refused(after, NotFound)
        found = self.now(self.datastore.user("ann"))
        assert found is not None
        self.assertEqual(found[0].used, 0)


class JobGroupTests(GroupTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.uploaded("a", "b", "c")
        [self.one, self.two] = self.leased(1, 2)

    def finish(self, lease: Lease, sha256: str = "same") -> Deferred[Any]:
        return self.together.finish(lease, "worker", stored("r", 7, sha256), NOW)

    def test_the_first_of_two_results_counts(self) -> None:
        works = self.group(
            lambda: self.finish(self.one.lease),
            lambda: self.finish(self.one.lease),
            lambda: self.finish(self.one.lease, "other"),
            lambda: self.finish(self.two.lease),
        )
        self.refused(works.pop(2), StaleLease)
        self.assertEqual([self.now(work)[1] for work in works], [True, False, True])
        images = self.now(self.datastore.images("w1", ImageType.FILTERED, None, 10))
        self.assertEqual([image.seq for image in images], [0, 1])

    def test_the_first_of_two_ends_counts(self) -> None:
        failed, finished, released = self.group(
            lambda: self.together.fail(self.one.lease, "bad-picture", "", NOW),
            lambda: self.finish(self.one.lease),
            lambda: self.together.release([(self.one.lease, Outcome.CRASHED)], NOW),
        )
        self.assertTrue(self.now(failed))
        self.refused(finished, StaleLease)
        self.now(released)
        self.assertEqual(self.rows("SELECT state, crashes FROM jobs WHERE id = 1"), [("failed", 0)])

    def test_a_job_goes_back_and_out_again(self) -> None:
        _, leased, late = self.group(
            lambda: self.together.release([(self.one.lease, Outcome.LOST)], NOW),
            lambda: self.together.lease([(1, "other", "m"), (3, "other", "m3")], NOW),
            lambda: self.finish(self.one.lease),
        )
        found = [job and job.lease for job in self.now(leased)]
        self.assertEqual(found, [Lease(1, 2, "m"), Lease(3, 1, "m3")])
        self.refused(late, StaleLease)

    def test_a_job_is_leased_to_the_first_that_asks(self) -> None:
        first, second = self.group(
            lambda: self.together.lease([(3, "x", "n")], NOW),
            lambda: self.together.lease([(3, "y", "m")], NOW),
        )
        self.assertEqual([job and job.lease for job in self.now(first)], [Lease(3, 1, "n")])
        self.assertEqual(self.now(second), [None])

    def test_a_result_that_comes_with_the_end_of_its_workload(self) -> None:
        deleted, late = self.group(
            lambda: self.together.delete_workload("w1", NOW),
            lambda: self.finish(self.one.lease),
            commits=3,
        )
        self.assertIsNotNone(self.now(deleted))
        self.refused(late, StaleLease)

    def test_the_last_result_and_a_new_original_leave_it_running(self) -> None:
        [three] = self.leased(3)
        self.group(lambda: self.add("d"), lambda: self.finish(self.one.lease))
        self.group(lambda: self.finish(self.two.lease), lambda: self.add("e"))
        self.group(lambda: self.finish(three.lease))
        found = self.now(self.opened().workload("w1"))
        assert found is not None
        self.assertEqual((found.accepted, found.filtered, found.finished_at), (5, 3, None))


class RuleTests(GroupTestCase):
    def test_the_record_keeps_the_order_of_arrival(self) -> None:
        entries = [Activity(NOW, "ann", "upload", str(number)) for number in range(3)]
        self.group(
            lambda: self.together.record(entries[0]),
            lambda: self.add("a"),
            lambda: self.together.record(entries[1]),
            lambda: self.together.record(entries[2]),
        )
        self.assertEqual([e for _, e in self.now(self.datastore.activity(None, 9))], entries[::-1])

    def test_new_work_is_refused_when_too_much_waits_and_completions_are_not(self) -> None:
        storage = self.together._storage
        assert storage is not None
        writer = Writer(HeldThreads(), self.held[0], storage.writer._engine, limit=0)
        lease = Lease(1, 1, "n")
        needed: list[tuple[OperationKind[Any, Any], Any]] = [
            (results.FINISH, results.FinishOperation(lease, "w", stored(), NOW)),
            (results.FAIL, results.FailOperation(lease, "", "", NOW)),
            (jobs.RELEASE, jobs.ReleaseOperation([(lease, Outcome.LOST)], NOW)),
            (jobs.LEASE, jobs.LeaseOperation([], NOW)),
        ]
        for kind, argument in needed:
            self.assertNoResult(writer.submit(kind, argument).addErrback(lambda _: None))
        more: list[tuple[OperationKind[Any, Any], Any]] = [
            (uploads.ADD, uploads.UploadOperation("w1", [], None, NOW)),
            (activity_log.APPEND, Activity(NOW, "", "", "")),
        ]
        for kind, argument in more:
            self.refused(writer.submit(kind, argument), RetryLater)
        self.held[0].run()

    def test_a_commit_is_on_the_disk_when_it_is_answered(self) -> None:
        storage = self.together._storage
        assert storage is not None

        def ask(question: str) -> Any:
            work = storage.writer.call(lambda c: c.exec_driver_sql(question).scalar())
            self.held[0].run()
            return self.now(work)

        if self.postgres:
            self.assertEqual(ask("SHOW synchronous_commit"), "on")
        else:
            settings = [ask(f"PRAGMA {name}") for name in ("journal_mode", "synchronous", "foreign_keys")]
            self.assertEqual(settings, ["wal", 2, 1])

    def test_an_admin_uses_its_own_keys_in_anothers_workload(self) -> None:
        self.now(self.datastore.add_user("root", "", Role.ADMIN, None, NOW))
        first, second = self.group(
            lambda: self.add("a", key=key(owner="root")), lambda: self.add("b", key=key(owner="ann"))
        )
        self.assertEqual((self.now(first)[1], self.now(second)[1]), (True, True))

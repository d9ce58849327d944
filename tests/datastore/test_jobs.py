from __future__ import annotations

from dpip.model import Lease, LeasedJob, Outcome, WaitingJob
from tests.datastore.support import NOW, DatastoreTestCase, stored, worker, workload


class LeasingTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now(self.datastore.add_workload(workload(output={"quality": 9}), None))
        self.accepted = self.uploaded("a", "b", "c")

    def test_a_leased_job_says_all_that_a_worker_needs(self) -> None:
        [job] = self.now(self.datastore.lease([(1, "worker", "nonce")], NOW))
        expected = LeasedJob(
            lease=Lease(1, 1, "nonce"),
            workload_id="w1",
            original=self.accepted[0].image,
            result_id="a-result",
            steps=(("blur", {"sigma": 2.5}),),
            output={"quality": 9},
        )
        self.assertEqual(job, expected)

    def test_several_at_once_each_in_its_place(self) -> None:
        jobs = self.now(self.datastore.lease([(3, "x", "n3"), (9, "x", "n9"), (1, "y", "n1")], NOW))
        self.assertEqual([job and job.lease for job in jobs], [Lease(3, 1, "n3"), None, Lease(1, 1, "n1")])
        self.assertEqual(
            self.rows("SELECT id, state, attempt, nonce, worker FROM jobs ORDER BY id"),
            [(1, "leased", 1, "n1", "y"), (2, "waiting", 0, None, None), (3, "leased", 1, "n3", "x")],
        )

    def test_a_job_is_leased_once(self) -> None:
        [first, second] = self.now(self.datastore.lease([(1, "x", "n"), (1, "y", "m")], NOW))
        self.assertEqual((first and first.lease, second), (Lease(1, 1, "n"), None))
        self.assertEqual(self.now(self.datastore.lease([(1, "y", "m")], NOW)), [None])

    def test_nothing_is_leased_of_a_deleted_workload(self) -> None:
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(self.now(self.datastore.lease([(1, "x", "n")], NOW)), [None])

    def test_a_finished_job_is_not_leased(self) -> None:
        [one, two] = self.leased(1, 2)
        self.now(self.datastore.finish(one.lease, "worker", stored("r"), NOW))
        self.now(self.datastore.fail(two.lease, "bad-picture", "", NOW))
        self.assertEqual(self.now(self.datastore.lease([(1, "x", "n"), (2, "x", "n")], NOW)), [None, None])

    def test_whose_a_lease_was_is_known_from_its_beginning_until_its_workload_is_gone(self) -> None:
        def was(lease: Lease, worker: str = "x") -> bool:
            return self.now(self.datastore.was_leased(lease, worker))

        first, second = Lease(1, 1, "n"), Lease(1, 2, "m")
        self.assertFalse(was(first))
        self.now(self.datastore.lease([(1, "x", "n")], NOW))
        self.assertTrue(was(first))
        self.assertFalse(was(first, "y"))
        self.now(self.datastore.release([(first, Outcome.LOST)], NOW))
        self.now(self.datastore.lease([(1, "y", "m")], NOW))
        self.assertTrue(was(first))
        self.assertFalse(was(second))
        self.assertTrue(was(second, "y"))
        self.assertFalse(was(Lease(4, 1, "n")), "there was no such job yet")
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertTrue(was(first))

    def test_no_leases_are_no_jobs(self) -> None:
        self.assertEqual(self.now(self.datastore.lease([], NOW)), [])


class ReleasingTests(DatastoreTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.joined(worker(), "127.0.0.1", NOW)
        self.jobs = self.prepared("a", "b", "c")

    def waiting(self) -> dict[int, WaitingJob]:
        return {job.job: job for _, job in self.now(self.datastore.unfinished(0, 10))}

    def test_only_crashes_and_losses_are_charged(self) -> None:
        outcomes = [Outcome.CRASHED, Outcome.LOST, Outcome.RETURNED]
        leases = [(job.lease, outcome) for job, outcome in zip(self.jobs, outcomes, strict=True)]
        self.now(self.datastore.release(leases, NOW + 2))
        charged = {number: (job.crashes, job.losses) for number, job in self.waiting().items()}
        self.assertEqual(charged, {1: (1, 0), 2: (0, 1), 3: (0, 0)})

    def test_the_next_lease_is_the_next_attempt(self) -> None:
        for attempt in (1, 2, 3):
            self.now(self.datastore.release([(Lease(1, attempt, "n1"), Outcome.CRASHED)], NOW))
            [job] = self.leased(1)
            self.assertEqual(job.lease.attempt, attempt + 1)
        self.now(self.datastore.release([(Lease(1, 4, "n1"), Outcome.CRASHED)], NOW))
        self.assertEqual(self.waiting()[1].crashes, 4)

    def test_stale_leases_are_skipped(self) -> None:
        stale = [Lease(1, 2, "n1"), Lease(1, 1, "other"), Lease(1, 0, "n1"), Lease(77, 1, "n77")]
        self.now(
            self.datastore.release(
                [*((lease, Outcome.CRASHED) for lease in stale), (Lease(2, 1, "n2"), Outcome.LOST)], NOW
            )
        )
        self.assertEqual(set(self.waiting()), {2})

    def test_the_same_lease_twice_is_charged_once(self) -> None:
        lease = self.jobs[0].lease
        self.now(self.datastore.release([(lease, Outcome.CRASHED), (lease, Outcome.CRASHED)], NOW))
        self.now(self.datastore.release([(lease, Outcome.CRASHED)], NOW))
        self.assertEqual(self.waiting()[1].crashes, 1)

    def test_every_attempt_that_ended_is_on_record(self) -> None:
        self.now(self.datastore.release([(self.jobs[0].lease, Outcome.CRASHED)], NOW + 2))
        [again] = self.leased(1, worker="stranger")
        self.now(self.datastore.fail(again.lease, "bad-picture", "", NOW + 3))
        started = round((NOW + 1) * 1e6)
        self.assertEqual(
            self.rows("SELECT * FROM attempts ORDER BY job_id, attempt"),
            [
                (1, 1, "n1", "worker", "engine 1", started, round((NOW + 2) * 1e6), "crashed"),
                (1, 2, "n1", "stranger", None, started, round((NOW + 3) * 1e6), "failed"),
            ],
        )


class StartTests(DatastoreTestCase):
    def test_leases_go_back_uncharged_and_workers_are_gone(self) -> None:
        self.joined(worker(), "127.0.0.1", NOW)
        jobs = self.prepared("a", "b", "c")
        self.now(self.datastore.finish(jobs[0].lease, "worker", stored("r"), NOW))
        self.now(self.datastore.release([(jobs[1].lease, Outcome.LOST)], NOW))
        self.leased(2)
        self.now(self.datastore.recover(NOW + 10))
        waiting = [job for _, job in self.now(self.datastore.unfinished(0, 10))]
        self.assertEqual([(j.job, j.crashes, j.losses) for j in waiting], [(2, 0, 1), (3, 0, 0)])
        self.assertEqual([w.joined for w in self.now(self.datastore.workers(None, None, None))], [False])
        self.assertFalse(self.now(self.datastore.fail(jobs[2].lease, "late", "", NOW)))
        [again] = self.leased(3)
        self.assertEqual(again.lease.attempt, 2)
        self.assertEqual(
            self.rows("SELECT outcome, count(*) FROM attempts GROUP BY outcome ORDER BY outcome"),
            [("done", 1), ("lost", 1), ("returned", 2)],
        )

    def test_unfinished_jobs_come_by_number_in_pages(self) -> None:
        self.now(self.datastore.add_workload(workload("w2"), None))
        self.prepared("a", "b")
        self.uploaded("c", "d", workload_id="w2")
        self.uploaded("e")
        self.now(self.datastore.recover(NOW))

        def page(after: int, limit: int) -> list[tuple[str, int]]:
            return [(w, job.job) for w, job in self.now(self.datastore.unfinished(after, limit))]

        self.assertEqual(page(0, 3), [("w1", 1), ("w1", 2), ("w2", 3)])
        self.assertEqual(page(3, 3), [("w2", 4), ("w1", 5)])
        self.now(self.datastore.delete_workload("w1", NOW))
        self.assertEqual(page(0, 3), [("w2", 3), ("w2", 4)])

    def test_job_numbers_are_never_used_again(self) -> None:
        self.prepared("a", "b")
        self.now(self.datastore.delete_workload("w1", NOW))
        self.now(self.datastore.add_workload(workload("w2"), None))
        [accepted] = self.uploaded("c", workload_id="w2")
        self.assertEqual(accepted.job.job, 3)

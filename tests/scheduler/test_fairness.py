"""Owners share equally, and so do the workloads of one owner; nobody waits behind a crowd."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from twisted.trial.unittest import TestCase

from dpip.model import Lease, Outcome
from dpip.scheduler import events as e
from tests.scheduler.fakes import PIXELS, info, load, waiting, workload
from tests.scheduler.world import World


class FairnessTests(TestCase):
    """One worker with two slots, jobs that take one round each, or what ``seconds`` says by workload."""

    def setUp(self) -> None:
        self.world = World()
        self.number = 0
        self.done: list[str] = []  # workload of each finished job
        self.seconds: dict[str, int] = {}
        self.taken = Counter[int]()  # rounds in which each job was computed

    def join(self, slots: int = 2, capacity: int = 3) -> None:
        self.world.join("s", info(slots=slots, capacity=capacity), load())

    def add(self, name: str, owner: str, jobs: int, pixels: int = PIXELS) -> None:
        first = self.number + 1
        self.number += jobs
        made = workload(name, owner)
        self.world.add(made, [waiting(first + i, pixels) for i in range(jobs)])

    def rounds(self, count: int) -> Counter[str]:
        """The worker finishes as many jobs as it has slots, the oldest first, ``count`` times."""
        before = len(self.done)
        for _ in range(count):
            self.world.settle()
            running = list(self.world.sent["s"].values())[:2]
            self.world.advance(1.0)
            for job in running:
                self.taken[job.lease.job] += 1
                if self.taken[job.lease.job] == self.seconds.get(job.workload_id, 1):
                    self.done.append(job.workload_id)
                    self.world.finish("s", job.lease, seconds=self.taken[job.lease.job])
        return Counter(self.done[before:])

    def test_one_image_beside_very_many(self) -> None:
        """Done within two job times of its upload, one of which may be spent on what was prefetched."""
        self.add("huge", "ann", 20_000)
        self.join()
        self.rounds(20)
        self.add("one", "bob", 1)
        self.assertEqual(self.rounds(2)["one"], 1)

    def test_one_image_of_the_same_owner(self) -> None:
        self.add("huge", "ann", 5_000)
        self.join()
        self.rounds(20)
        self.add("one", "ann", 1)
        self.assertEqual(self.rounds(2)["one"], 1)

    def test_owners_share_equally_whatever_they_have(self) -> None:
        self.add("a1", "ann", 1000)
        self.add("a2", "ann", 1000)
        self.add("a3", "ann", 1000)
        self.add("b", "bob", 1000)
        self.join()
        done = self.rounds(60)
        self.assertLess(abs(done["b"] - 60), 4, done)
        for name in ("a1", "a2", "a3"):
            self.assertLess(abs(done[name] - 20), 4, done)

    def test_many_workloads_of_one_image_are_no_trick(self) -> None:
        """Each would be a newcomer if owners were not counted first."""
        for number in range(200):
            self.add(f"a{number}", "ann", 1)
        self.add("b", "bob", 200)
        self.join()
        self.assertLess(abs(self.rounds(50)["b"] - 50), 4)

    def test_shares_are_of_work_not_of_jobs(self) -> None:
        """By what they took: what was estimated is the same for both."""
        self.add("large", "ann", 1000)
        self.add("small", "bob", 1000)
        self.seconds["large"] = 4
        self.join()
        done = self.rounds(100)
        self.assertLess(abs(done["small"] / done["large"] - 4), 0.6, done)

    def test_no_credit_for_time_away(self) -> None:
        """Ann comes when Bob has been served for long: they share from then on, and she does not catch up."""
        self.add("b", "bob", 1000)
        self.join()
        self.rounds(100)
        self.add("a", "ann", 1000)
        done = self.rounds(50)
        self.assertLess(abs(done["a"] - done["b"]), 6, done)

    def test_no_credit_among_the_workloads_of_one_owner(self) -> None:
        self.add("first", "ann", 1000)
        self.join()
        self.rounds(100)
        self.add("second", "ann", 1000)
        done = self.rounds(50)
        self.assertLess(abs(done["first"] - done["second"]), 6, done)

    def test_no_debt_for_idle_capacity_used(self) -> None:
        """Bob had everything while nobody else was there: that is not held against him."""
        self.add("b", "bob", 300)
        self.join()
        self.rounds(100)
        self.add("a", "ann", 300)
        self.rounds(1)
        self.assertGreater(self.rounds(10)["b"], 7)

    def test_in_upload_order_within_a_workload(self) -> None:
        self.add("a", "ann", 50)
        self.join(slots=50, capacity=50)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), sorted(self.world.jobs("s")))

    def test_a_workload_nobody_can_do_blocks_no_other(self) -> None:
        self.world.add(workload("rare", "ann", filters=("rare",)), [waiting(100_001)])
        self.world.add(workload("tagged", "ann", tags=("fast",)), [waiting(100_002)])
        self.add("b", "ann", 10)
        self.join()
        self.assertEqual(self.rounds(5), Counter({"b": 10}))

    def test_who_was_blocked_cannot_take_all_for_as_long(self) -> None:
        """Ann's worker comes 200 rounds late. Of its six slots her fair share is four, now, not six."""
        self.world.add(
            workload("rare", "ann", filters=("rare",)), [waiting(200_000 + i) for i in range(2000)]
        )
        self.add("b", "bob", 2000)
        self.join()
        self.rounds(200)
        self.world.join("t", info("both", slots=6, capacity=6, filters=("rare", "blur")), load())
        done = Counter[str]()
        for _ in range(100):
            self.rounds(1)
            for job in list(self.world.sent["t"].values()):
                done[job.workload_id] += 1
                self.world.finish("t", job.lease, seconds=1.0)
        self.assertGreater(done["b"], 120, done)
        self.assertGreater(done["rare"], 350, done)


class MeasuredTests(TestCase):
    """What counts for an owner is what was computed for it, whatever was estimated and however it ended."""

    def setUp(self) -> None:
        self.world = World()
        self.world.join("s", info(slots=1, capacity=1), load())
        for number, owner in enumerate(("ann", "bob")):
            jobs = [waiting(100 * number + i + 1) for i in range(50)]
            self.world.add(workload(f"of {owner}", owner), jobs)

    def after(self, seconds: float, end: Callable[[Lease], object]) -> None:
        """Ann's job ends after so many seconds; from then on Bob's last one each."""
        self.world.settle()
        [job] = self.world.sent["s"].values()
        self.assertEqual(job.workload_id, "of ann")
        self.world.advance(seconds)
        end(job.lease)
        self.world.settle()

    def in_a_row(self) -> int:
        """How many of Bob's jobs of a second are served before Ann's next."""
        for number in range(40):
            self.world.settle()
            [job] = self.world.sent["s"].values()
            if job.workload_id == "of ann":
                return number
            self.world.advance(1.0)
            self.world.finish("s", job.lease, 1.0)
        raise AssertionError("Ann is never served")

    def assertCounted(self, seconds: int) -> None:
        self.assertIn(self.in_a_row(), (seconds, seconds + 1))

    def test_a_job_that_is_done(self) -> None:
        self.after(10.0, lambda lease: self.world.finish("s", lease, 10.0))
        self.assertCounted(10)

    def test_no_more_than_the_time_that_has_passed(self) -> None:
        """A worker that lies cannot hold an owner up for long."""
        self.after(10.0, lambda lease: self.world.finish("s", lease, 1e9))
        self.assertCounted(10)

    def test_a_result_whose_time_is_never_told(self) -> None:
        def finish(lease: Lease) -> None:
            self.world.datastore.finish(lease)
            self.world.sent["s"].clear()
            self.world.tell(e.ResultCommitted(lease))

        self.after(10.0, finish)
        self.assertCounted(10)

    def test_a_job_that_fails(self) -> None:
        self.after(10.0, lambda lease: self.world.end("s", lease, Outcome.FAILED, 10.0))
        self.assertCounted(10)

    def test_a_job_that_crashes(self) -> None:
        self.after(10.0, lambda lease: self.world.end("s", lease, Outcome.CRASHED, 0.0))
        self.assertCounted(10)

    def test_a_job_whose_worker_is_lost(self) -> None:
        def lose(lease: Lease) -> None:
            self.world.lose("s")
            self.world.join("s", info(slots=1, capacity=1), load())

        self.after(10.0, lose)
        self.assertCounted(10)

    def test_a_job_that_is_deleted(self) -> None:
        """Nor is it forgotten with the owner's only workload."""

        def delete(lease: Lease) -> None:
            self.world.delete("of ann")
            self.world.add(workload("of ann", "ann"), [waiting(1000)])

        self.after(10.0, delete)
        self.assertCounted(10)

"""Jobs move from slow workers to idle ones, once."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from dpip.model import Outcome
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Cancel, Release
from tests.scheduler.fakes import info, load, waiting, workload
from tests.scheduler.world import World


class StealingTests(TestCase):
    """Two workers that were equally fast, a second for each job, and what is left at the end."""

    def setUp(self) -> None:
        self.world = World()
        self.number = 0
        for name in "ab":
            self.world.join(name, info(name, slots=1, capacity=4), load())
        self.add(20)
        for _ in range(12):
            self.advance(1.0)
            for name in "ab":
                self.finish_first(name)
        self.world.log.clear()

    def add(self, jobs: int) -> None:
        first = self.number + 1
        self.number += jobs
        self.world.add(workload(), [waiting(first + i) for i in range(jobs)])
        self.world.settle()

    def finish_first(self, name: str, seconds: float = 1.0) -> None:
        for job in list(self.world.sent[name].values())[:1]:
            self.world.finish(name, job.lease, seconds)
            self.world.settle()

    def advance(self, seconds: float) -> None:
        self.world.advance(seconds)
        self.world.settle()

    def moved(self) -> list[int]:
        return [one.lease.job for one in self.world.log if isinstance(one, Cancel)]

    def test_a_job_not_begun(self) -> None:
        """``b`` hangs with its first job; what it has not begun goes to ``a``, uncharged."""
        self.add(4)
        running, queued = self.world.jobs("b")
        for _ in range(3):
            self.advance(1.0)
            self.finish_first("a")
        self.advance(1.0)
        self.assertEqual(self.moved(), [queued])
        self.assertEqual(self.world.jobs("b"), [running])
        [release] = [one for one in self.world.log if isinstance(one, Release)]
        self.assertEqual(release.outcome, Outcome.RETURNED)
        self.assertEqual(self.world.jobs("a"), [queued])

    def test_a_job_that_takes_far_too_long(self) -> None:
        self.add(2)
        [stuck] = self.world.jobs("b")
        for _ in range(3):
            self.advance(1.0)
            self.finish_first("a")
        self.assertEqual(self.moved(), [])
        self.advance(1.0)
        self.assertEqual(self.moved(), [stuck])
        self.assertEqual(self.world.jobs("a"), [stuck])

    def test_it_does_not_come_back_to_the_worker_it_was_taken_from(self) -> None:
        """Which has an idle slot now, and joined first."""
        self.add(2)
        [stuck] = self.world.jobs("a")
        for _ in range(3):
            self.advance(1.0)
            self.finish_first("b")
        self.advance(1.0)
        self.assertEqual((self.world.jobs("a"), self.world.jobs("b")), ([], [stuck]))

    def test_it_moves_only_once(self) -> None:
        """If it is a long job, it is given the time it needs."""
        self.test_a_job_that_takes_far_too_long()
        for _ in range(100):
            self.advance(1.0)
        self.assertEqual(len(self.moved()), 1)
        self.finish_first("a", 100.0)
        self.assertEqual({row.state for row in self.world.datastore.rows.values()}, {"done"})

    def test_nothing_moves_when_nobody_is_idle(self) -> None:
        self.add(100)
        for _ in range(10):
            self.advance(1.0)
            self.finish_first("a")
        self.assertEqual(self.moved(), [])

    def test_nothing_moves_to_a_worker_that_cannot_do_it(self) -> None:
        self.world.tell(e.WorkerLeaving("a"))
        self.world.join("c", info("c", filters=("other",)), load())
        self.add(2)
        for _ in range(10):
            self.advance(1.0)
        self.assertEqual(self.moved(), [])

    def test_jobs_on_time_stay(self) -> None:
        self.add(2)
        for _ in range(2):
            self.advance(1.0)
        self.assertEqual(self.moved(), [])

"""The packed queue of waiting jobs."""

from __future__ import annotations

import sys

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.model import WaitingJob
from dpip.scheduler.jobs import Job, JobQueue


def job(number: int) -> Job:
    return Job(number, number * 10, number * 100)


def queue_of(*numbers: int) -> JobQueue:
    queue = JobQueue()
    queue.extend(WaitingJob(*job(number)) for number in numbers)
    return queue


class JobQueueTests(TestCase):
    def test_first_in_first_out(self) -> None:
        queue = queue_of(3, 1, 2)
        self.assertEqual(drain(queue), [job(3), job(1), job(2)])
        self.assertEqual(len(queue), 0)

    def test_jobs_put_back_come_first_the_oldest_before_all(self) -> None:
        queue = queue_of(9)
        for number in (7, 5, 8):
            queue.put_back(job(number))
        self.assertEqual([one.number for one in drain(queue)], [5, 7, 8, 9])

    def test_large_values(self) -> None:
        queue = JobQueue()
        queue.extend([WaitingJob(2**60, 2**48, 2**52)])
        self.assertEqual(queue.first(), Job(2**60, 2**48, 2**52))

    def test_clear(self) -> None:
        queue = queue_of(1)
        queue.put_back(job(2))
        queue.clear()
        self.assertEqual(len(queue), 0)

    def test_memory_of_what_was_taken_is_given_back(self) -> None:
        queue = queue_of(*range(10_000))
        for _ in range(9_000):
            queue.drop_first()
        self.assertLess(sys.getsizeof(queue._cells), 4 * 1_000 * 24)

    @settings(deadline=None)
    @given(st.lists(st.sampled_from(["append", "take", "back"]), max_size=200), st.integers(0, 5000))
    def test_like_a_list(self, steps: list[str], before: int) -> None:
        """The same as a list with an own part for what is put back, also beyond the size of a compaction."""
        queue, back, rest = queue_of(*range(before)), [], [job(number) for number in range(before)]
        for _ in range(before // 2):
            queue.drop_first()
            rest.pop(0)
        for number, step in enumerate(steps, start=before):
            if step == "append":
                queue.extend([WaitingJob(*job(number))])
                rest.append(job(number))
            elif step == "back":
                queue.put_back(job(number))
                back.append(job(number))
            elif back or rest:
                expected = back or rest
                self.assertEqual(queue.first(), expected.pop(0))
                queue.drop_first()
            self.assertEqual(len(queue), len(back) + len(rest))
        self.assertEqual(drain(queue), back + rest)


def drain(queue: JobQueue) -> list[Job]:
    jobs = []
    while len(queue):
        jobs.append(queue.first())
        queue.drop_first()
    return jobs

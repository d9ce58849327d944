"""The service: facts in, leases and messages out, and nothing lost when the datastore or a link fails."""

from __future__ import annotations

from itertools import count, pairwise

from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from zope.interface.verify import verifyObject

from dpip.errors import DiskFull, RetryLater
from dpip.interfaces import IScheduler
from dpip.model import Lease, Outcome
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.service import Scheduler
from tests.scheduler.fakes import MIB, FakeDatastore, FakeLink, info, load, waiting, workload


class ServiceTestCase(TestCase):
    """A scheduler on a fake datastore, ready."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.datastore = FakeDatastore()
        self.limits = SchedulerLimits()
        self.scheduler = self.make()

    def make(self) -> Scheduler:
        numbers = count(1)
        return Scheduler(self.clock, self.datastore, lambda: f"nonce-{next(numbers)}", limits=self.limits)

    def start(self) -> None:
        self.scheduler.startService()
        self.turn()
        self.addCleanup(self.scheduler.stopService)

    def turn(self, turns: int = 10) -> None:
        """Let the reactor turn, in no time."""
        for _ in range(turns):
            self.clock.advance(0)

    def add(self, *numbers: int, workload_id: str = "w") -> None:
        """Originals are committed, and the scheduler hears of it."""
        made = workload(workload_id)
        jobs = [waiting(number) for number in numbers]
        self.datastore.add(made, jobs)
        self.scheduler.workload_opened(made)
        self.scheduler.jobs_waiting(workload_id, jobs)
        self.turn()

    def join(self, session: str = "s", **facts: object) -> FakeLink:
        link = FakeLink()
        self.scheduler.worker_joined(session, info(name=session, **facts), link)  # type: ignore[arg-type]
        self.scheduler.worker_reported(session, load())
        self.turn()
        return link

    def end(self, session: str, lease: Lease, outcome: Outcome, code: str = "", detail: str = "") -> None:
        self.scheduler.job_ended(session, lease, outcome, code, detail, 0.1)
        self.turn()

    def finish(self, lease: Lease) -> None:
        """The worker's result is committed, then the worker says so."""
        self.assertTrue(self.datastore.finish(lease))
        self.scheduler.result_committed(lease)
        self.turn()

    def states(self) -> dict[int, str]:
        return {number: row.state for number, row in self.datastore.rows.items()}


class DispatchTests(ServiceTestCase):
    def test_interface(self) -> None:
        verifyObject(IScheduler, self.scheduler)

    def test_waiting_jobs_are_leased_and_sent(self) -> None:
        self.start()
        self.add(1, 2)
        link = self.join()
        self.assertEqual([job.lease for job in link.jobs], [Lease(1, 1, "nonce-1"), Lease(2, 1, "nonce-2")])
        self.assertEqual(self.states(), {1: "leased", 2: "leased"})

    def test_one_pass_is_one_lease_and_one_message(self) -> None:
        self.start()
        self.add(1, 2, 3)
        link = self.join()
        self.assertEqual(self.datastore.calls.count("lease"), 1)
        self.assertEqual((link.messages, len(link.jobs)), (1, 3))

    def test_jobs_are_sent_at_once_when_they_are_leased(self) -> None:
        """Not at the reactor's next turn: workers wait for them."""
        self.start()
        self.add(1)
        self.datastore.hold = True
        link = self.join()
        self.assertEqual(link.jobs, [])
        self.datastore.answer()
        self.assertEqual(len(link.jobs), 1)

    def test_jobs_that_come_after_the_worker(self) -> None:
        self.start()
        link = self.join()
        self.add(1)
        self.assertEqual(len(link.jobs), 1)

    def test_a_finished_job_makes_room(self) -> None:
        self.start()
        self.add(*range(1, 7))
        link = self.join(slots=1, capacity=2)
        self.assertEqual(len(link.jobs), 2)
        self.finish(link.jobs[0].lease)
        self.assertEqual([job.lease.job for job in link.jobs], [1, 2, 3])

    def test_long_messages_are_split(self) -> None:
        self.start()
        self.add(*range(1, 41))
        link = self.join(slots=40, capacity=40)
        self.assertEqual((link.messages, len(link.jobs)), (2, 40))

    def test_questions(self) -> None:
        self.start()
        self.add(1)
        link = self.join()
        [job] = link.jobs
        self.assertEqual(self.scheduler.leased("s", job.lease), job)
        self.assertEqual(self.scheduler.holds("s", job.original.id), job)
        self.assertEqual(self.scheduler.running_jobs("w"), 1)
        self.assertIsNone(self.scheduler.leased("other", job.lease))
        self.assertIsNone(self.scheduler.leased("s", Lease(1, 1, "guess")))
        self.assertIsNone(self.scheduler.holds("other", job.original.id))
        self.finish(job.lease)
        self.assertIsNone(self.scheduler.leased("s", job.lease))
        self.assertIsNone(self.scheduler.holds("s", job.original.id))
        self.assertEqual(self.scheduler.running_jobs("w"), 0)


class EndingTests(ServiceTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.start()
        self.add(1)
        self.link = self.join()
        [self.job] = self.link.jobs

    def test_failed(self) -> None:
        self.end("s", self.job.lease, Outcome.FAILED, "corrupt-picture", "Cut short.")
        self.assertEqual(self.datastore.rows[1].failure, ("corrupt-picture", "Cut short."))

    def test_crashed_three_times(self) -> None:
        for attempt in (1, 2, 3):
            self.assertEqual(self.link.jobs[-1].lease.attempt, attempt)
            self.end("s", self.link.jobs[-1].lease, Outcome.CRASHED, "crashed", f"Crash {attempt}.")
        self.assertEqual(self.datastore.rows[1].failure, ("crashed", "Crash 3."))
        self.assertEqual(self.datastore.rows[1].crashes, 2)

    def test_returned_is_not_charged_and_the_worker_rests(self) -> None:
        self.end("s", self.job.lease, Outcome.RETURNED)
        self.assertEqual(self.states(), {1: "waiting"})
        self.assertEqual(len(self.link.jobs), 1)
        self.clock.advance(1.0)
        self.turn()
        self.assertEqual(len(self.link.jobs), 2)
        self.assertEqual(self.datastore.rows[1].crashes + self.datastore.rows[1].losses, 0)

    def test_lost_worker(self) -> None:
        other = self.join("other")
        self.scheduler.worker_lost("s")
        self.turn()
        self.assertEqual([job.lease.attempt for job in other.jobs], [2])
        self.assertEqual(self.datastore.rows[1].losses, 1)
        self.assertIsNone(self.scheduler.leased("s", self.job.lease))

    def test_leaving_worker_gets_no_more(self) -> None:
        self.scheduler.worker_leaving("s")
        self.add(2)
        self.assertEqual(len(self.link.jobs), 1)
        self.finish(self.job.lease)
        self.assertEqual(self.states(), {1: "done", 2: "waiting"})

    def test_deleted_workload(self) -> None:
        self.add(2, 3, 4, 5, 6)
        self.scheduler.workload_dropped("w")
        self.turn()
        self.assertEqual(self.link.cancelled, [job.lease for job in self.link.jobs])
        self.assertEqual(self.scheduler.running_jobs("w"), 0)
        self.add(7, workload_id="next")
        self.assertEqual(self.link.jobs[-1].lease.job, 7)

    def test_overdue_lease(self) -> None:
        self.clock.advance(self.limits.lease_seconds)
        self.turn()
        self.assertEqual(self.link.cancelled, [self.job.lease])
        self.assertEqual([job.lease.attempt for job in self.link.jobs], [1, 2])
        self.assertEqual(self.datastore.rows[1].crashes, 1)

    def test_stale_endings_change_nothing(self) -> None:
        for lease in (Lease(1, 2, "nonce-1"), Lease(1, 1, "other"), Lease(9, 1, "nonce-1")):
            self.end("s", lease, Outcome.FAILED)
            self.scheduler.result_committed(lease)
        self.end("other", self.job.lease, Outcome.FAILED)
        self.assertEqual(self.scheduler.leased("s", self.job.lease), self.job)
        self.assertEqual(self.states(), {1: "leased"})


class DatastoreFailureTests(ServiceTestCase):
    def test_a_busy_datastore_is_asked_again(self) -> None:
        self.start()
        self.datastore.failures = [RetryLater("Busy."), DiskFull("Full.")]
        link = self.join()
        self.add(1)
        self.assertEqual(len(link.jobs), 0)
        self.clock.pump([0.1, 0.2])
        self.assertEqual([job.lease.job for job in link.jobs], [1])

    def test_a_release_that_fails_first(self) -> None:
        self.start()
        self.add(1)
        link = self.join()
        self.datastore.failures = [RetryLater("Busy.")]
        self.end("s", link.jobs[0].lease, Outcome.CRASHED)
        self.assertEqual(self.datastore.calls.count("lease"), 1)  # not before the release is known
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(link.jobs[-1].lease.attempt, 2)

    def test_a_failure_is_recorded_in_the_end(self) -> None:
        self.start()
        self.add(1)
        link = self.join()
        self.datastore.failures = [RetryLater("Busy.")] * 3
        self.end("s", link.jobs[0].lease, Outcome.FAILED, "corrupt-picture", "Cut short.")
        self.clock.pump([0.1, 0.2, 0.4])
        self.assertEqual(self.states(), {1: "failed"})

    def test_a_bug_in_the_datastore_is_logged_and_survived(self) -> None:
        self.start()
        link = self.join()
        self.datastore.failures = [ZeroDivisionError()]
        self.add(1)
        self.clock.advance(0.1)
        self.assertEqual(len(link.jobs), 1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_refused_lease(self) -> None:
        self.start()
        self.add(1)
        self.datastore.rows[1].state = "done"
        link = self.join()
        self.assertEqual((link.jobs, self.scheduler.running_jobs("w")), ([], 0))

    def test_worker_lost_before_the_grant(self) -> None:
        self.start()
        self.add(1)
        self.datastore.hold = True
        link = self.join()
        self.scheduler.worker_lost("s")
        self.datastore.hold = False
        self.datastore.answer()
        self.turn()
        self.assertEqual((link.jobs, self.states()), ([], {1: "waiting"}))
        other = self.join("other")
        self.assertEqual([job.lease.attempt for job in other.jobs], [2])
        self.assertEqual(self.datastore.rows[1].losses, 0)

    def test_result_committed_before_the_release(self) -> None:
        """The worker was lost, but its result had arrived: the datastore skips the release."""
        self.start()
        self.add(1)
        link = self.join()
        lease = link.jobs[0].lease
        self.assertTrue(self.datastore.finish(lease))
        self.datastore.hold = True
        self.scheduler.worker_lost("s")
        self.turn()
        self.scheduler.result_committed(lease)
        self.datastore.hold = False
        self.datastore.answer()
        other = self.join("other")
        self.assertEqual((other.jobs, self.states()), ([], {1: "done"}))

    def test_stop_while_the_datastore_is_busy(self) -> None:
        self.start()
        self.join()
        self.datastore.failures = [RetryLater("Busy.")]
        self.add(1)
        stopped = self.scheduler.stopService()
        self.successResultOf(stopped)
        self.clock.advance(100)
        self.assertEqual(self.datastore.calls.count("lease"), 1)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class TimerTests(ServiceTestCase):
    def test_one_timer_at_most(self) -> None:
        """Half a minute for a job that needs too much, then a second to look for slow ones."""
        self.start()
        self.scheduler.worker_joined("s", info(), FakeLink())
        self.scheduler.worker_reported("s", load(100 * MIB))
        made, huge = workload(), waiting(1, 100_000_000)
        self.datastore.add(made, [huge])
        self.scheduler.workload_opened(made)
        self.scheduler.jobs_waiting("w", [huge])
        self.turn()
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [30.0])
        self.add(2)
        self.assertEqual([call.getTime() for call in self.clock.getDelayedCalls()], [1.0])


class LinkFailureTests(ServiceTestCase):
    def test_jobs_not_taken_go_elsewhere(self) -> None:
        self.start()
        bad = self.join("bad")
        bad.error = ConnectionError()
        good_jobs = self.join("good", slots=1, capacity=1).jobs
        self.add(1, 2, 3)
        self.assertEqual(len(bad.jobs), 0)
        self.assertEqual(len(bad.cancelled), 2)
        for _ in range(3):
            self.finish(good_jobs[-1].lease)
        self.assertEqual(set(self.states().values()), {"done"})

    def test_a_worker_that_never_takes_any_is_dropped(self) -> None:
        self.start()
        bad = self.join("bad")
        bad.error = ConnectionError()
        self.add(1)
        for seconds in (1, 2, 4, 8):
            self.assertEqual(bad.dropped, [])
            self.clock.advance(seconds)
            self.turn()
        self.assertEqual((bad.messages, len(bad.dropped)), (5, 1))


class FillingTests(ServiceTestCase):
    def test_jobs_of_the_last_run_are_done(self) -> None:
        self.datastore.add(workload("a"), [waiting(n) for n in (1, 3, 4)])
        self.datastore.add(workload("b"), [waiting(2)])
        self.start()
        link = self.join(slots=4)
        self.assertTrue(self.scheduler.ready)
        self.assertEqual(sorted(job.lease.job for job in link.jobs), [1, 2, 3, 4])

    def test_many_jobs_are_taken_in_slices(self) -> None:
        """No turn of the reactor takes more than 500; several pages are read."""
        self.datastore.add(workload("a"), [waiting(n) for n in range(1, 2302)])
        self.datastore.add(workload("b"), [waiting(n) for n in range(2302, 2404)])
        self.scheduler.startService()
        self.addCleanup(self.scheduler.stopService)
        known = [0]
        while not self.scheduler.ready:
            for call in list(self.clock.calls):  # one turn; advance(0) would run what they schedule as well
                self.clock.calls.remove(call)
                call.func(*call.args, **call.kw)
            known.append(sum(reason.jobs for name in "ab" for reason in self.scheduler.why(name)))
        self.assertEqual(known[-1], 2403)
        self.assertLessEqual(max(after - before for before, after in pairwise(known)), 500)
        self.assertEqual(self.datastore.calls.count("unfinished"), 3)

    def test_no_job_before_all_are_known(self) -> None:
        self.datastore.add(workload(), [waiting(1)])
        self.datastore.hold = True
        self.start()
        link = self.join()
        for _ in range(3):  # workloads, the page without any, jobs
            self.assertEqual((self.scheduler.ready, link.jobs), (False, []))
            self.datastore.answer()
            self.turn()
        self.datastore.hold = False
        self.datastore.answer()
        self.turn()
        self.assertEqual((self.scheduler.ready, len(link.jobs)), (True, 1))

    def test_jobs_committed_while_reading(self) -> None:
        """Job 2 is in the page read after its commit, job 3 is committed after the last page was read."""
        self.datastore.add(workload(), [waiting(1)])
        self.datastore.hold = True
        self.scheduler.startService()
        self.addCleanup(self.scheduler.stopService)
        self.datastore.answer()
        self.turn()
        self.add(2)
        self.datastore.answer()  # no more workloads; asks for jobs
        self.turn()
        self.datastore.answer()  # jobs 1 and 2
        self.turn()
        self.add(3)
        self.datastore.hold = False
        self.datastore.answer()
        self.turn()
        self.assertEqual(sum(reason.jobs for reason in self.scheduler.why("w")), 3)
        link = self.join(slots=4)
        self.assertEqual([job.lease.job for job in link.jobs], [1, 2, 3])
        self.assertEqual(self.states(), dict.fromkeys((1, 2, 3), "leased"))

    def test_a_finished_workload_gets_new_originals(self) -> None:
        """Unknown after a restart, it is looked up."""
        self.start()
        self.datastore.add(workload("old"), [waiting(1), waiting(2)])
        self.datastore.hold = True
        self.scheduler.jobs_waiting("old", [waiting(1)])
        self.scheduler.jobs_waiting("old", [waiting(2)])
        self.datastore.hold = False
        self.datastore.answer()
        self.assertEqual(len(self.join().jobs), 2)

    def test_jobs_of_a_deleted_workload_are_ignored(self) -> None:
        """It was looked up before it was deleted."""
        self.start()
        self.datastore.add(workload("gone"), [waiting(1)])
        self.datastore.hold = True
        self.scheduler.jobs_waiting("gone", [waiting(1)])
        self.scheduler.workload_dropped("gone")
        self.datastore.hold = False
        self.datastore.answer()
        self.assertEqual(self.join().jobs, [])
        self.assertEqual(self.datastore.calls.count("lease"), 0)

    def test_strikes_are_remembered(self) -> None:
        self.datastore.add(workload(), [waiting(1, crashes=2)])
        self.start()
        link = self.join()
        self.end("s", link.jobs[0].lease, Outcome.CRASHED, "crashed", "Again.")
        self.assertEqual(self.datastore.rows[1].failure, ("crashed", "Again."))

    def test_filling_survives_a_busy_datastore(self) -> None:
        self.datastore.add(workload(), [waiting(1)])
        self.datastore.failures = [RetryLater("Busy.")]
        self.start()
        self.clock.advance(0.1)
        self.turn()
        self.assertEqual(len(self.join().jobs), 1)

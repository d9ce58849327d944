"""What follows from each way an attempt can end."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.trial.unittest import TestCase

from dpip.model import Lease, Outcome
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Assign, Cancel, Dispatch, Drop, Fail, Instruction, Release, WakeAt
from dpip.scheduler.limits import SchedulerLimits
from tests.scheduler.fakes import info, leased, load, waiting, workload
from tests.scheduler.world import World


class RulesTestCase(TestCase):
    def setUp(self) -> None:
        self.limits = SchedulerLimits()
        self.world = World(limits=self.limits)

    def add(self, *numbers: int, workload_id: str = "w") -> None:
        self.world.add(workload(workload_id), [waiting(number) for number in numbers])

    def join(self, session: str = "s", slots: int = 2, capacity: int = 4) -> None:
        self.world.join(session, info(session, slots, capacity), load())
        self.world.settle()

    def lease(self, session: str = "s", job: int = 1) -> Lease:
        return self.world.sent[session][job].lease

    def state_of(self, job: int) -> str:
        return self.world.datastore.rows[job].state

    def last(self, kind: type[Instruction]) -> Instruction:
        return [one for one in self.world.log if isinstance(one, kind)][-1]


class UnusedWorkloadTests(RulesTestCase):
    def test_those_that_never_had_a_job_are_forgotten_too(self) -> None:
        self.world = World(limits=SchedulerLimits(idle_workloads=2))
        for name in ("w1", "w2", "w3"):
            self.world.tell(e.WorkloadOpened(workload(name)))
        self.assertEqual([self.world.state.knows(name) for name in ("w1", "w2", "w3")], [False, True, True])

    def test_those_with_jobs_are_not(self) -> None:
        self.world = World(limits=SchedulerLimits(idle_workloads=2))
        self.add(1, 2)
        for name in ("w1", "w2", "w3"):
            self.world.tell(e.WorkloadOpened(workload(name)))
        self.join()
        self.assertEqual(sorted(self.world.jobs("s")), [1, 2])


class CrashTests(RulesTestCase):
    def test_charged_and_tried_again_at_once(self) -> None:
        self.add(1)
        self.join()
        self.world.end("s", self.lease(), Outcome.CRASHED)
        self.assertEqual(self.last(Release), Release(Lease(1, 1, "nonce-1"), Outcome.CRASHED))
        self.world.settle()
        self.assertEqual(self.lease().attempt, 2)

    def test_the_third_is_the_last_with_its_reason(self) -> None:
        self.add(1)
        self.join()
        for _ in range(2):
            self.world.end("s", self.lease(), Outcome.CRASHED)
            self.world.settle()
        lease = self.lease()
        self.world.tell(e.JobEnded("s", lease, Outcome.CRASHED, "killed", "Signal 9."))
        self.assertEqual(self.last(Fail), Fail(lease, "killed", "Signal 9."))
        self.assertEqual(self.world.state.running_jobs("w"), 0)

    def test_a_crash_before_the_restart_counts(self) -> None:
        self.world.add(workload(), [waiting(1, crashes=2)])
        self.join()
        self.world.end("s", self.lease(), Outcome.CRASHED)
        self.assertEqual(len([one for one in self.world.log if isinstance(one, Fail)]), 1)

    def test_crashes_of_one_job_are_not_those_of_another(self) -> None:
        self.add(1, 2, 3)
        self.join()
        for job in (1, 2, 3):
            self.world.end("s", self.lease(job=job), Outcome.CRASHED)
        self.world.settle()
        self.assertEqual(sorted(self.world.jobs("s")), [1, 2, 3])

    def test_put_back_first(self) -> None:
        self.add(1, 2, 3)
        self.join(capacity=2)
        self.world.end("s", self.lease(job=1), Outcome.CRASHED)
        self.world.work_off()
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [2, 1])


class ReturnTests(RulesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.add(1)
        self.join()

    def give_back(self) -> None:
        self.world.end("s", self.lease(), Outcome.RETURNED)
        self.world.settle()

    def test_not_charged(self) -> None:
        self.give_back()
        self.assertEqual(self.last(Release), Release(Lease(1, 1, "nonce-1"), Outcome.RETURNED))

    def test_the_worker_rests_longer_each_time(self) -> None:
        for seconds in (1, 2, 4, 8, 16, 32, 60, 60):
            self.give_back()
            self.assertEqual(self.world.jobs("s"), [])
            self.world.advance(seconds - 0.01)
            self.world.settle()
            self.assertEqual(self.world.jobs("s"), [])
            self.world.advance(0.01)
            self.world.settle()
            self.assertEqual(self.world.jobs("s"), [1])

    def test_jobs_handed_back_together_are_one_rest(self) -> None:
        self.add(2, 3)
        self.world.settle()
        for job in (1, 2, 3):
            self.world.end("s", self.lease(job=job), Outcome.RETURNED)
        self.world.advance(1.0)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [1, 2, 3])
        self.assertEqual(self.world.state._roster.workers["s"].rest_seconds, 1.0)

    def test_a_success_ends_the_doubling(self) -> None:
        for seconds in (1, 2, 4):
            self.give_back()
            self.world.advance(seconds)
            self.world.settle()
        self.world.finish("s", self.lease())
        self.add(2)
        self.world.settle()
        self.world.end("s", self.lease(job=2), Outcome.RETURNED)
        self.world.advance(1.0)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [2])

    def test_others_get_the_job_meanwhile(self) -> None:
        self.join("other")
        self.give_back()
        self.assertEqual(self.world.jobs("other"), [1])


class LossTests(RulesTestCase):
    def releases(self) -> dict[int, Outcome]:
        return {one.lease.job: one.outcome for one in self.world.log if isinstance(one, Release)}

    def lose(self, running: Sequence[int] | None = None, slots: int = 2) -> None:
        self.add(1, 2, 3)
        self.join(slots=slots)
        if running is not None:
            self.world.tell(e.WorkerReported("s", load(running=running)))
        self.world.lose("s")

    def test_the_oldest_count_as_running(self) -> None:
        self.lose()
        lost, unharmed = Outcome.LOST, Outcome.RETURNED
        self.assertEqual(self.releases(), {1: lost, 2: lost, 3: unharmed})

    def test_those_the_worker_named_count_first(self) -> None:
        self.lose(running=[3])
        lost, unharmed = Outcome.LOST, Outcome.RETURNED
        self.assertEqual(self.releases(), {1: lost, 2: unharmed, 3: lost})

    def test_all_are_done_by_others(self) -> None:
        self.lose()
        self.world.work_off()
        self.join("other")
        self.assertEqual(sorted(self.world.jobs("other")), [1, 2, 3])

    def test_after_ten_losses_the_job_fails(self) -> None:
        self.add(1)
        for number in range(10):
            self.assertEqual(self.state_of(1), "waiting")
            self.join(f"s{number}")
            self.world.lose(f"s{number}")
            self.world.work_off()
        self.assertEqual(self.world.datastore.rows[1].failure[0], "worker-lost-too-often")  # type: ignore[index]

    def test_a_worker_of_the_same_name_is_another_session(self) -> None:
        self.add(1)
        self.join("old")
        lease = self.lease("old")
        self.world.join("new", info("old"), load())
        self.world.lose("old")
        self.world.work_off()
        self.world.settle()
        self.assertIsNone(self.world.state.leased("old", lease))
        self.assertEqual(self.world.jobs("new"), [1])

    def test_lost_twice(self) -> None:
        self.add(1)
        self.join()
        self.world.lose("s")
        self.assertEqual(self.world.tell(e.WorkerLost("s")), [])


class ExpiryTests(RulesTestCase):
    def test_an_overdue_attempt_is_cancelled_and_charged(self) -> None:
        self.add(1)
        self.join()
        lease = self.lease()
        self.world.advance(self.limits.lease_seconds - 1)
        self.assertEqual(self.world.jobs("s"), [1])
        self.world.advance(1)
        self.assertEqual(self.last(Cancel), Cancel("s", lease))
        self.assertEqual(self.last(Release), Release(lease, Outcome.CRASHED))

    def test_each_attempt_has_its_own_time(self) -> None:
        self.add(1)
        self.join()
        self.world.advance(600)
        self.add(2)
        self.world.settle()
        self.world.advance(300)
        self.assertEqual(self.world.jobs("s"), [2])
        self.world.advance(599)
        self.assertEqual(self.world.jobs("s"), [2])
        self.world.advance(1)
        self.assertEqual(self.world.jobs("s"), [])

    def test_leases_granted_in_another_order(self) -> None:
        self.add(1, 2)
        self.world.join("s", info("s", 2, 4), load())
        self.world.decide()
        self.world.pending.rotate(1)
        self.world.work_off(1)
        self.assertEqual(self.world.jobs("s"), [2])
        self.world.advance(500)
        self.world.work_off()
        self.world.advance(400)
        self.assertEqual(self.world.jobs("s"), [1])

    def test_the_memory_of_a_cancelled_job_counts_until_the_next_report(self) -> None:
        self.add(1)
        self.join()
        machine = self.world.state._roster.workers["s"].machine
        free = machine.free
        self.world.advance(self.limits.lease_seconds)
        self.assertEqual(machine.free, free)
        self.world.tell(e.WorkerReported("s", load()))
        self.assertGreater(machine.free, free)


class DispatchTests(RulesTestCase):
    def test_cancelled_and_put_back_uncharged(self) -> None:
        self.add(1)
        self.join()
        lease = self.lease()
        self.world.tell(e.DispatchFailed("s", [lease]))
        self.assertEqual(self.world.log[-2:], [Cancel("s", lease), Release(lease, Outcome.RETURNED)])

    def test_dropped_after_five_in_a_row(self) -> None:
        self.add(1)
        self.join()
        for _ in range(5):
            self.assertFalse([one for one in self.world.log if isinstance(one, Drop)])
            self.world.tell(e.DispatchFailed("s", [self.lease()]))
            self.world.work_off()
            self.world.advance(60)
            self.world.settle()
        self.assertEqual(self.last(Drop).session, "s")  # type: ignore[union-attr]

    def test_of_a_worker_lost_meanwhile(self) -> None:
        self.add(1)
        self.join()
        lease = self.lease()
        self.world.lose("s")
        self.assertEqual(self.world.tell(e.DispatchFailed("s", [lease])), [])


class ResultTests(RulesTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.add(1, 2, 3)
        self.join(capacity=2)

    def test_frees_the_slot_exactly_once(self) -> None:
        lease = self.lease()
        self.assertTrue(self.world.finish("s", lease))
        self.world.tell(e.ResultCommitted(lease))
        self.world.end("s", lease, Outcome.CRASHED)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [2, 3])

    def test_done_alone_is_a_hint(self) -> None:
        """The slot stays taken until the result is committed."""
        lease = self.lease()
        self.world.tell(e.JobEnded("s", lease, Outcome.DONE, seconds=1.0))
        self.assertFalse([one for one in self.world.decide() if isinstance(one, Assign)])
        self.assertEqual(self.world.state.leased("s", lease), self.world.sent["s"][1])
        self.world.tell(e.ResultCommitted(lease))
        self.assertEqual(len([one for one in self.world.decide() if isinstance(one, Assign)]), 1)

    def test_its_time_is_learned_once_in_either_order(self) -> None:
        pace = self.world.state._roster.workers["s"].pace
        first, second = self.lease(job=1), self.lease(job=2)
        for _ in range(2):
            self.world.tell(e.JobEnded("s", first, Outcome.DONE, seconds=1.0))
        self.world.tell(e.ResultCommitted(first))
        self.world.tell(e.ResultCommitted(second))
        for _ in range(2):
            self.world.tell(e.JobEnded("s", second, Outcome.DONE, seconds=1.0))
        self.assertEqual(pace.job.count, 2)

    def test_of_a_job_put_back_before_the_datastore_released_it(self) -> None:
        lease = self.lease()
        self.assertTrue(self.world.datastore.finish(lease))
        self.world.lose("s")
        self.world.tell(e.ResultCommitted(lease))
        self.world.work_off()
        self.join("other", capacity=4)
        self.assertEqual(sorted(self.world.jobs("other")), [2, 3])
        self.assertEqual(self.state_of(1), "done")


class RepetitionTests(RulesTestCase):
    """What is told twice, or of another attempt, changes nothing."""

    def test_a_job_told_twice(self) -> None:
        self.add(1, 2)
        self.world.tell(e.JobsWaiting("w", [waiting(1), waiting(2)]))
        self.join()
        self.assertEqual(self.world.jobs("s"), [1, 2])
        self.world.finish("s", self.lease(job=1))
        self.world.tell(e.JobsWaiting("w", [waiting(2)]))
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [2])
        self.world.finish("s", self.lease(job=2))
        self.world.settle()
        self.assertEqual((self.state_of(1), self.state_of(2)), ("done", "done"))

    def test_a_release_of_another_attempt(self) -> None:
        self.add(1)
        self.join()
        lease = self.lease()
        self.world.tell(e.Released(lease))  # not being released at all
        self.assertEqual(self.world.state.leased("s", lease), self.world.sent["s"][1])
        self.world.end("s", lease, Outcome.CRASHED)
        self.world.tell(e.Released(Lease(1, 7, "other")))
        self.assertFalse([one for one in self.world.decide() if isinstance(one, Assign)])

    def test_a_grant_nobody_asked_for(self) -> None:
        self.join()
        stray = leased(9, 1, "stray")
        self.assertEqual(self.world.tell(e.LeaseGranted(stray))[0], Release(stray.lease, Outcome.RETURNED))

    def test_a_refusal_of_a_job_that_is_leased(self) -> None:
        self.add(1)
        self.join()
        lease = self.lease()
        self.world.tell(e.LeaseRefused(1))
        self.assertEqual(self.world.state.leased("s", lease), self.world.sent["s"][1])

    def test_nothing_is_kept_of_a_job_that_has_ended(self) -> None:
        self.add(1)
        self.join()
        self.world.end("s", self.lease(), Outcome.CRASHED)
        self.world.settle()
        workload = self.world.state._workloads.get("w")
        assert workload is not None
        self.assertEqual(len(workload.charges), 1)
        self.world.finish("s", self.lease())
        self.assertEqual((workload.charges, workload.held, workload.unfinished), ({}, {}, 0))


class LeavingTests(RulesTestCase):
    def test_finishes_what_it_has_and_gets_no_more(self) -> None:
        self.add(1, 2, 3)
        self.join(capacity=2)
        self.world.tell(e.WorkerLeaving("s"))
        self.world.finish("s", self.lease(job=1))
        self.world.end("s", self.lease(job=2), Outcome.RETURNED)
        self.world.advance(100)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [])

    def test_what_was_being_leased_for_it_is_put_back(self) -> None:
        self.add(1)
        self.world.join("s", info("s"), load())
        self.world.decide()
        self.world.tell(e.WorkerLeaving("s"))
        self.world.work_off()
        self.assertEqual(self.world.jobs("s"), [])
        self.join("other")
        self.assertEqual(self.world.jobs("other"), [1])


class DeletionTests(RulesTestCase):
    def test_waiting_jobs_go_and_running_ones_are_cancelled(self) -> None:
        self.add(1, 2, 3)
        self.join(capacity=2)
        leases = [self.lease(job=1), self.lease(job=2)]
        self.world.delete("w")
        self.assertEqual(
            [one for one in self.world.log if isinstance(one, Cancel)], [Cancel("s", x) for x in leases]
        )
        self.assertEqual(self.world.decide(), [])

    def test_while_being_leased(self) -> None:
        """The datastore leased the job before it deleted it: nobody is sent it."""
        self.add(1)
        self.world.join("s", info("s"), load())
        self.world.decide()
        leased = self.world.datastore._lease(1, "nonce")
        assert leased is not None
        self.world.delete("w")
        self.world.tell(e.LeaseGranted(leased))
        self.assertFalse([one for one in self.world.log if isinstance(one, Dispatch)])
        self.add(2, workload_id="next")
        self.world.pending.clear()
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [2])

    def test_while_being_released(self) -> None:
        self.add(1)
        self.join()
        self.world.end("s", self.lease(), Outcome.CRASHED)
        self.world.delete("w")
        self.world.work_off()
        self.assertEqual(self.world.decide(), [])

    def test_opened_again_it_runs_its_new_jobs_alone(self) -> None:
        """Cancelled, and retried: what is still heard of the old jobs changes nothing."""
        self.add(1, 2)
        self.join(capacity=1)
        old = self.lease(job=1)
        self.world.delete("w")
        self.add(3)
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [3])
        self.world.end("s", old, Outcome.FAILED)
        self.world.tell(e.ResultCommitted(old))
        self.assertEqual(self.world.state.running_jobs("w"), 1)
        self.world.finish("s", self.lease(job=3))
        self.assertEqual(self.world.decide(), [])

    def test_jobs_of_an_unknown_workload_are_ignored(self) -> None:
        self.world.tell(e.JobsWaiting("unknown", [waiting(1)]))
        self.join()
        self.assertEqual(self.world.jobs("s"), [])


class IdleWorkloadTests(RulesTestCase):
    """Workloads that are done are remembered for a while, and come back when they get new jobs."""

    def setUp(self) -> None:
        super().setUp()
        self.world = World(limits=SchedulerLimits(idle_workloads=2))
        self.join()

    def do(self, job: int, workload_id: str) -> None:
        self.add(job, workload_id=workload_id)
        self.world.settle()
        self.world.finish("s", self.lease(job=job))

    def known(self) -> list[str]:
        return [name for name in "abcd" if self.world.state.knows(name)]

    def test_the_one_idle_longest_is_forgotten(self) -> None:
        for job, name in enumerate("abc"):
            self.do(job, name)
        self.assertEqual(self.known(), ["b", "c"])

    def test_work_makes_young(self) -> None:
        for job, name in enumerate("abac"):
            self.do(job, name)
        self.assertEqual(self.known(), ["a", "c"])

    def test_not_while_a_job_is_unfinished(self) -> None:
        self.add(1, 2, workload_id="a")
        self.world.settle()
        self.world.finish("s", self.lease(job=2))
        self.world.end("s", self.lease(job=1), Outcome.CRASHED)
        for job, name in enumerate("bcd", start=3):
            self.do(job, name)
        self.assertEqual(self.known(), ["a", "c", "d"])
        self.world.settle()
        self.assertEqual(self.world.jobs("s"), [1])

    def test_it_comes_back(self) -> None:
        for job, name in enumerate("abca"):
            self.do(job, name)
        self.assertEqual({row.state for row in self.world.datastore.rows.values()}, {"done"})

    def test_nothing_of_it_remains(self) -> None:
        for job in range(20):
            self.do(job, f"w{job}")
        workloads = self.world.state._workloads
        self.assertEqual((len(workloads._known), len(workloads._idle), len(workloads._owners)), (2, 2, 1))
        self.world.delete("w19")
        self.assertEqual((len(workloads._known), len(workloads._idle)), (1, 1))


class WakeTests(RulesTestCase):
    def asked(self) -> list[float]:
        return [one.time for one in self.world.log if isinstance(one, WakeAt)]

    def test_only_an_earlier_time_is_asked_for(self) -> None:
        self.add(1, 2)
        self.join()
        self.world.end("s", self.lease(job=1), Outcome.RETURNED)
        self.world.end("s", self.lease(job=2), Outcome.RETURNED)
        self.assertEqual(self.asked(), [1.0])

    def test_the_next_time_is_asked_for_at_the_tick(self) -> None:
        self.add(1)
        self.join()
        self.world.advance(10)
        self.assertEqual(self.asked(), [1.0, 11.0])

    def test_nothing_to_wake_for(self) -> None:
        self.add(1)
        self.join()
        self.world.finish("s", self.lease())
        self.world.advance(1000)
        self.world.settle()
        self.assertIsNone(self.world.wake)

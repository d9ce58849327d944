"""Memory that workers borrow for work that is no job."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from dpip.scheduler import events as e
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.memory import Loan
from dpip.scheduler.state import State
from tests.scheduler.fakes import MIB, info, load, waiting, workload

JOB = 100 * MIB // 15  # pixels


class LoanTests(TestCase):
    def setUp(self) -> None:
        self.state = State(lambda steps: False, SchedulerLimits())
        for session in "ab":
            self.handle(e.WorkerJoined(session, info(session, slots=4, capacity=4, machine="m")))
            self.handle(e.WorkerReported(session, load(total=250 * MIB, available=250 * MIB, own=0)))
        self.handle(e.WorkloadOpened(workload()))

    def handle(self, event: e.Event) -> int:
        return len(self.state.handle(event, 0.0))

    def lend(self, mib: int, session: str = "a") -> Loan:
        loan = self.state.lend_memory(session, mib * MIB)
        assert loan is not None
        return loan

    def placed(self) -> int:
        self.handle(e.Decide(100))
        return self.state.running_jobs("w")

    def test_jobs_and_loans_share_the_memory_of_a_machine(self) -> None:
        loan = self.lend(150)
        self.handle(e.JobsWaiting("w", [waiting(1, JOB), waiting(2, JOB)]))
        self.assertEqual(self.placed(), 1)
        self.handle(e.MemoryReturned(loan))
        self.assertEqual(self.placed(), 2)

    def test_no_more_is_lent_than_is_free(self) -> None:
        self.handle(e.JobsWaiting("w", [waiting(1, JOB)]))
        self.placed()
        self.assertIsNone(self.state.lend_memory("b", 160 * MIB))
        self.lend(140, "b")
        self.assertIsNone(self.state.lend_memory("a", 20 * MIB))

    def test_a_worker_that_is_gone_or_going_gets_none(self) -> None:
        self.assertIsNone(self.state.lend_memory("c", 1))
        self.handle(e.WorkerLeaving("a"))
        self.assertIsNone(self.state.lend_memory("a", 1))

    def test_a_loan_may_end_after_its_worker(self) -> None:
        loan = self.lend(200)
        self.handle(e.WorkerLost("a"))
        self.assertIsNone(self.state.lend_memory("b", 100 * MIB))
        self.handle(e.MemoryReturned(loan))
        self.lend(250, "b")

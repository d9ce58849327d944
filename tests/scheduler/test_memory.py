"""The account of a machine's memory."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from dpip.scheduler.memory import Footprint, Machine, size_class


class SizeTests(TestCase):
    @settings(deadline=None)
    @given(st.integers(1, 2**50), st.integers(1, 2**50))
    def test_classes_grow_with_the_need(self, one: int, other: int) -> None:
        low, high = sorted((one, other))
        self.assertLessEqual(size_class(low), size_class(high))
        if size_class(low) == size_class(high):
            self.assertLess(high, low * 1.125 + 1)


class MachineTests(TestCase):
    def setUp(self) -> None:
        self.machine = Machine("m")
        self.one, self.other = Footprint(), Footprint()

    def test_nothing_is_free_before_a_report(self) -> None:
        self.assertEqual(self.machine.free, 0)

    def test_needs_in_flight_are_taken(self) -> None:
        self.machine.report(self.one, total=1000, available=800, own=50)
        self.machine.add_job(300)
        self.assertEqual(self.machine.free, 500)
        self.machine.remove_job(self.one, 300)
        self.assertEqual(self.machine.free, 800)

    def test_what_our_jobs_use_already_is_not_taken_twice(self) -> None:
        self.machine.report(self.one, total=1000, available=800, own=50)
        self.machine.add_job(300)
        self.machine.report(self.one, total=1000, available=550, own=300)  # the job uses 250 by now
        self.assertEqual(self.machine.free, 500)

    def test_the_idle_worker_is_not_counted_as_free(self) -> None:
        self.machine.report(self.one, total=1000, available=800, own=150)
        self.assertEqual(self.machine.free, 800)

    def test_workers_of_one_machine_share(self) -> None:
        self.machine.report(self.one, total=1000, available=800, own=0)
        self.machine.report(self.other, total=1000, available=800, own=0)
        self.machine.add_job(300)
        self.machine.add_job(300)
        self.assertEqual(self.machine.free, 200)
        self.machine.report(self.one, total=1000, available=500, own=300)  # the other's job has not started
        self.assertEqual(self.machine.free, 200)

    def test_a_job_ended_before_the_others_report_is_not_added_back(self) -> None:
        """Its memory is in ``available`` already: no optimism from an old report."""
        self.machine.report(self.one, total=1000, available=800, own=0)
        self.machine.report(self.other, total=1000, available=800, own=0)
        self.machine.add_job(300)
        self.machine.report(self.other, total=1000, available=500, own=300)
        self.machine.remove_job(self.other, 300)
        self.machine.report(self.one, total=1000, available=800, own=0)
        self.assertEqual(self.machine.free, 800)

    def test_never_more_than_there_is(self) -> None:
        self.machine.report(self.one, total=1000, available=900, own=0)
        self.machine.report(self.one, total=1000, available=900, own=500)
        self.assertEqual(self.machine.free, 1000)

    def test_written_off_until_the_next_report(self) -> None:
        self.machine.report(self.one, total=1000, available=800, own=0)
        self.machine.add_job(300)
        self.machine.remove_job(self.one, 300)
        self.machine.write_off(300)
        self.assertEqual(self.machine.free, 500)
        self.machine.report(self.one, total=1000, available=800, own=0)
        self.assertEqual(self.machine.free, 800)

    def test_a_job_that_needs_more_than_is_free_has_the_machine_alone(self) -> None:
        self.machine.report(self.one, total=1000, available=400, own=0)
        self.machine.add_job(600)
        self.assertEqual((self.machine.alone, self.machine.free), (True, 0))
        self.machine.remove_job(self.one, 600)
        self.assertEqual((self.machine.alone, self.machine.free), (False, 400))

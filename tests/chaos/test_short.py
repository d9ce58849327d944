"""A little of what ``tox -e chaos`` does at length."""

from __future__ import annotations

import os

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.chaos import disk, strace, terms
from tests.chaos.kills import kill_at_random
from tests.chaos.links import silent_link
from tests.chaos.poison import poisoned
from tests.chaos.poisonous import CRASHES
from tests.chaos.soak import slopes
from tests.chaos.steps import Lanes, Strike

_STRIKES = (
    Strike("first start", "fsync", "signal=KILL", 3),
    Strike("first start", "pwrite64", "error=ENOSPC", 40),
    Strike("work", "fsync", "signal=KILL", 6),  # an original has its name, and is not durable
    Strike("work", "fdatasync", "signal=KILL", 5),
    Strike("work", "fsync", "error=EIO", 8),
    Strike("work", "pwrite64", "error=ENOSPC", 60),
    Strike("batches", "fsync", "signal=KILL", 5),  # some originals of one request are durable
    Strike("batches", "fsync", "error=EIO", 9),  # a result of a batch is not durable, or its folder
)


class StepTests(SynchronousTestCase):
    if reason := strace.missing():
        skip = reason

    def test_a_strike_at_a_durable_call_loses_nothing(self) -> None:
        with Lanes(1) as lanes:
            for strike in _STRIKES:
                outcome = lanes.strike(strike)
                self.assertEqual(outcome.violations, [], strike)
                self.assertIn(strike.call, outcome.struck or "the end came before the strike", strike)

    def test_a_bug_is_seen(self) -> None:
        """An upload whose answer was lost, sent again by its key, must not be there twice."""
        if "DPIP_CHAOS" not in os.environ:
            raise SkipTest("DPIP_CHAOS=1 runs it")
        with Lanes(1, bug="keys are not kept") as lanes:
            found = [
                lanes.strike(Strike("work", "fdatasync", "signal=KILL", n)).violations for n in (4, 5, 6, 7)
            ]
        self.assertIn("I1, I8", str(found))


class KillTests(SynchronousTestCase):
    def test_killing_controller_and_workers_loses_nothing(self) -> None:
        wrong, what = kill_at_random(rounds=4, workers=1, longest=1.0, share=0.75)
        self.assertEqual(wrong, [], what)


class PoisonTests(SynchronousTestCase):
    """What one compute child may do, ``tests/worker/test_compute_pool.py`` tests each time, and sooner."""

    if "DPIP_CHAOS" not in os.environ:
        skip = "it replaces many compute children; DPIP_CHAOS=1 runs it"

    def test_a_picture_that_crashes_its_process_fails_alone(self) -> None:
        wrong, what = poisoned(harmless=8, each=1, job_seconds=5.0, poisons=[CRASHES])
        self.assertEqual(wrong, [], what)


class LinkTests(SynchronousTestCase):
    """Silent links happen in most simulated worlds, too."""

    if "DPIP_CHAOS" not in os.environ:
        skip = "it takes some fifteen seconds; DPIP_CHAOS=1 runs it"

    def test_a_silent_link_is_noticed_and_its_late_result_changes_nothing(self) -> None:
        wrong, what = silent_link()
        self.assertEqual(wrong, [], what)


class DiskTests(SynchronousTestCase):
    if reason := disk.missing():
        skip = reason

    def test_a_controller_without_room_refuses_uploads_serves_the_rest_and_recovers(self) -> None:
        wrong, what = disk.full_controller()
        self.assertEqual(wrong, [], what)


class TermTests(SynchronousTestCase):
    if reason := terms.missing():
        skip = reason

    def test_a_killed_leader_is_replaced_and_loses_nothing(self) -> None:
        wrong, pair = terms.change_terms(kills=1)
        self.assertEqual(wrong, [], pair.gaps)

    def test_a_stopped_leader_is_replaced_and_answers_nothing(self) -> None:
        if "DPIP_CHAOS" not in os.environ:
            raise SkipTest("it takes some fifteen seconds; DPIP_CHAOS=1 runs it")
        wrong, pair = terms.change_terms(stops=1)
        self.assertEqual(wrong, [], pair.gaps)


class SlopeTests(SynchronousTestCase):
    def test_what_grows_is_told_from_what_goes_up_and_down(self) -> None:
        points = [
            (float(at), {("leak", "MiB"): 80 + at / 10, ("flat", "MiB"): 80 + at % 2}) for at in range(101)
        ]
        found = slopes(points)
        self.assertAlmostEqual(found["leak", "MiB"][1], 0.1)
        self.assertAlmostEqual(found["flat", "MiB"][1], 0.0, places=3)

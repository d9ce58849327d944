"""Chores come round on the clock, one that fails comes round again, and finished workloads retire in time."""

from __future__ import annotations

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import TestCase

from dpip.controller.housekeeping import Housekeeping
from dpip.errors import RetryLater
from dpip.model import Workload, WorkloadSpec

DAY = 24 * 3600.0
NOW = 1e9


def finished(number: int, at: float) -> Workload:
    spec = WorkloadSpec(f"w{number}", (("grayscale", {}),))
    return Workload(f"id{number}", "ann", spec, f"dir{number}", at, accepted=1, filtered=1, finished_at=at)


@define
class Finished:
    """The datastore as far as housekeeping knows it; ``broken`` makes the next ``expire`` fail."""

    workloads: list[Workload] = field(factory=list)
    empty: list[Workload] = field(factory=list)
    expired: int = 0
    broken: Exception | None = None

    def expire(self, now: float) -> Deferred[None]:
        if self.broken is not None:
            trouble, self.broken = self.broken, None
            raise trouble
        self.expired += 1
        return succeed(None)

    def workloads_finished_before(self, when: float, limit: int) -> Deferred[list[Workload]]:
        return succeed([w for w in self.workloads if (w.finished_at or NOW) < when][:limit])

    def workloads_empty_before(self, when: float, limit: int) -> Deferred[list[Workload]]:
        return succeed([w for w in self.empty if w.created_at < when][:limit])


class HousekeepingTests(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.datastore = Finished()
        self.swept = self.looked = 0
        self.retired: list[str] = []

    def start(self, keep_days: float | None = None) -> Housekeeping:
        housekeeping = Housekeeping(
            reactor=self.clock,
            wall_clock=lambda: NOW + self.clock.seconds(),
            datastore=self.datastore,  # type: ignore[arg-type]
            retire=self._retire,
            sweep=self._sweep,
            look_at_disk=self._look,
            keep_days=keep_days,
        )
        housekeeping.startService()
        self.addCleanup(lambda: housekeeping.running and housekeeping.stopService())
        return housekeeping

    def _retire(self, workload: Workload, if_empty: bool) -> Deferred[None]:
        self.retired.append(workload.id)
        (self.datastore.empty if if_empty else self.datastore.workloads).remove(workload)
        return succeed(None)

    def _sweep(self) -> Deferred[int]:
        self.swept += 1
        return succeed(3)

    def _look(self) -> None:
        self.looked += 1

    def test_every_chore_is_done_at_the_start_and_then_in_its_turn(self) -> None:
        self.start()
        self.assertEqual((self.looked, self.datastore.expired, self.swept), (1, 1, 1))
        self.clock.pump([10.0] * 360)
        self.assertEqual((self.looked, self.datastore.expired, self.swept), (361, 61, 2))

    def test_a_chore_that_fails_is_told_and_comes_round_again(self) -> None:
        self.start()
        self.datastore.broken = OSError("the disk is having a bad minute")
        self.clock.advance(60)
        self.assertEqual([str(failure.value) for failure in self.flushLoggedErrors(OSError)],
                         ["the disk is having a bad minute"])  # fmt: skip
        self.assertEqual(self.datastore.expired, 1)
        self.clock.advance(60)
        self.assertEqual(self.datastore.expired, 2)

    def test_a_busy_database_is_no_failure(self) -> None:
        self.start()
        self.datastore.broken = RetryLater("The database is busy.")
        with capturedLogs() as events:
            self.clock.advance(60)
        self.assertEqual(
            [formatEvent(event) for event in events],
            ["Housekeeping is put off to its next turn: expire: The database is busy."],
        )
        self.clock.advance(60)
        self.assertEqual(self.datastore.expired, 2)

    def test_workloads_retire_when_their_days_are_over_however_many_there_are(self) -> None:
        old = [finished(number, NOW - 31 * DAY) for number in range(250)]
        young = finished(999, NOW - 29 * DAY)
        self.datastore.workloads = [*old, young]
        self.start(keep_days=30)
        self.assertEqual(self.retired, [workload.id for workload in old])
        self.clock.pump([600.0] * 150)
        self.assertEqual(self.retired[-1], young.id)

    def test_those_without_images_go_after_a_day_whatever_the_options_say(self) -> None:
        self.datastore.empty = [finished(number, NOW - DAY + 1) for number in range(150)]
        self.start()
        self.assertEqual(self.retired, [])
        self.clock.advance(600.0)
        self.assertEqual(len(self.retired), 150)

    def test_without_keep_days_they_stay(self) -> None:
        self.datastore.workloads = [finished(1, NOW - 10_000 * DAY)]
        self.start()
        self.clock.pump([600.0] * 10)
        self.assertEqual(self.retired, [])

    def test_nothing_is_left_on_the_clock_after_it_stopped(self) -> None:
        self.start().stopService()
        self.assertEqual(self.clock.getDelayedCalls(), [])

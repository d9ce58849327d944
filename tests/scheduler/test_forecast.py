"""When a workload will be done: close at half way, honest about doubt, silent when nobody can tell."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from dpip.model import Eta
from dpip.scheduler.forecast import Forecast
from tests.scheduler.test_policy import PolicyTestCase


def eta(forecast: Forecast, now: float) -> Eta:
    found = forecast.eta(now, lambda: 1.0)
    assert found is not None
    return found


class ForecastTests(SynchronousTestCase):
    def run_jobs(self, seconds: list[float], size: int = 100) -> tuple[Forecast, float]:
        """Half of the jobs of one workload, one after the other; what remains takes as long."""
        forecast, now = Forecast(), 0.0
        forecast.added(2 * len(seconds) * size)
        for each in seconds:
            now += each
            forecast.ended(size, now)
        return forecast, now

    def test_half_way_at_a_steady_pace(self) -> None:
        for pause in (0.001, 0.1, 30.0):
            forecast, now = self.run_jobs([pause] * 1000)
            self.assertApproximates(eta(forecast, now).seconds / now, 1.0, 0.02)

    def test_half_way_with_jobs_of_all_lengths_the_truth_is_near_and_in_the_range(self) -> None:
        random = Random(4)
        seconds = [random.lognormvariate(-3, 1) for _ in range(2000)]
        forecast, now = self.run_jobs(seconds[:1000])
        found, truth = eta(forecast, now), sum(seconds[1000:])
        self.assertApproximates(found.seconds / truth, 1.0, 0.15)
        self.assertTrue(found.low <= truth <= found.high, (found, truth))

    def test_twice_as_fast_from_the_middle_on_is_soon_believed(self) -> None:
        forecast, _ = self.run_jobs([0.2] * 500 + [0.1] * 500)
        now = 150.0
        self.assertLess(eta(forecast, now).seconds, 120.0)

    def test_what_stands_still_takes_longer_and_longer(self) -> None:
        forecast, now = self.run_jobs([0.1] * 100)
        self.assertGreater(eta(forecast, now + 60).seconds, 3 * eta(forecast, now).seconds)

    def test_before_anything_has_ended_there_is_a_guess_with_a_wide_range(self) -> None:
        forecast = Forecast()
        forecast.added(100)
        found = eta(forecast, 0.0)
        self.assertEqual((found.seconds, found.low, found.high), (100.0, 25.0, 400.0))

    def test_nobody_who_can_do_it(self) -> None:
        forecast = Forecast()
        forecast.added(100)
        self.assertIsNone(forecast.eta(0.0, None))

    def test_an_idle_night_is_not_held_against_the_next_uploads(self) -> None:
        forecast, now = self.run_jobs([0.1] * 100)
        for _ in range(100):
            now += 0.1
            forecast.ended(100, now)
        self.assertEqual(eta(forecast, now).seconds, 0.0)
        now += 40_000
        forecast.added(20_000)
        for _ in range(100):
            now += 0.1
            forecast.ended(100, now)
        self.assertApproximates(eta(forecast, now).seconds, 10.0, 1.0)

    def test_memory_is_bounded(self) -> None:
        forecast, _ = self.run_jobs([0.3] * 20_000)
        self.assertLess(len(forecast._marks), 100)


class StateTests(PolicyTestCase):
    def test_a_workload_of_the_scheduler_has_an_eta_while_somebody_can_do_it(self) -> None:
        self.add(40)
        self.assertIsNone(self.world.state.eta("w1", self.world.now))
        self.join("a", slots=1, capacity=1)
        self.world.settle()
        for _ in range(20):
            self.world.advance(1.0)
            self.finish_all({"a": 1.0})
        found = self.world.state.eta("w1", self.world.now)
        assert found is not None
        self.assertApproximates(found.seconds, 20.0, 3.0)
        self.assertIsNone(self.world.state.eta("unknown", self.world.now))

"""Costs learned from jobs that have ended."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from dpip.scheduler.costs import Chain, Chains, Estimate, Pace

GRAY = (("grayscale", {}),)
BLUR = (("blur", {"sigma": 5}),)
SIZE = Chains().chain_of(GRAY).size(1280 * 720)


class EstimateTests(TestCase):
    def test_the_mean_of_few_values(self) -> None:
        estimate = Estimate()
        for value in (1.0, 2.0, 3.0):
            estimate.learn(value)
        self.assertAlmostEqual(estimate.mean, 2.0)

    def test_an_outlier_hardly_counts(self) -> None:
        estimate = Estimate()
        for _ in range(20):
            estimate.learn(1.0)
        estimate.learn(100.0)
        self.assertLess(estimate.mean, 1.1)

    def test_a_drift_is_followed(self) -> None:
        estimate = Estimate()
        for value in [1.0] * 50 + [1.5] * 50:
            estimate.learn(value)
        self.assertAlmostEqual(estimate.mean, 1.5, places=1)

    def test_three_outliers_in_a_row_are_a_change(self) -> None:
        for change in (4.0, -4.0):
            estimate = Estimate()
            for value in [1.0] * 20 + [change] * 3:
                estimate.learn(value)
            self.assertAlmostEqual(estimate.mean, change)

    def test_outliers_to_both_sides_are_none(self) -> None:
        estimate = Estimate()
        for value in [1.0] * 20 + [5.0, -3.0] * 3:
            estimate.learn(value)
        self.assertLess(abs(estimate.mean - 1.0), 0.2)


class CostTests(TestCase):
    def setUp(self) -> None:
        self.chains = Chains()

    def assertClose(self, value: float, expected: float) -> None:
        self.assertLess(abs(value / expected - 1), 0.1, (value, expected))

    def test_a_chain_nobody_has_run(self) -> None:
        self.assertClose(Pace().seconds(self.chains.chain_of(GRAY), SIZE), 0.02)

    def test_cost_grows_with_the_picture(self) -> None:
        chain, pace = self.chains.chain_of(GRAY), Pace()
        for _ in range(10):
            pace.learn(chain, SIZE, 0.04, 0.0)
        self.assertClose(pace.seconds(chain, SIZE), 0.04)
        self.assertClose(pace.seconds(chain, 3 * SIZE), 0.12)

    def test_fast_and_slow_workers(self) -> None:
        chain, fast, slow = self.chains.chain_of(GRAY), Pace(), Pace()
        for _ in range(30):
            fast.learn(chain, SIZE, 0.01, 0.0)
            slow.learn(chain, SIZE, 0.08, 0.0)
        self.assertClose(fast.seconds(chain, SIZE), 0.01)
        self.assertClose(slow.seconds(chain, SIZE), 0.08)

    def test_a_slow_worker_is_slow_at_filters_it_has_not_run(self) -> None:
        gray, blur, fast, slow = self.chains.chain_of(GRAY), self.chains.chain_of(BLUR), Pace(), Pace()
        for _ in range(30):
            fast.learn(gray, SIZE, 0.01, 0.0)
            slow.learn(gray, SIZE, 0.08, 0.0)
        for _ in range(30):
            fast.learn(blur, SIZE, 0.05, 0.0)
        self.assertClose(slow.seconds(blur, SIZE), 0.40)

    def test_a_worker_fast_at_one_filter_alone(self) -> None:
        """A GPU, say: pairs of chain and worker are learned by themselves."""
        gray, blur, other, gpu = self.chains.chain_of(GRAY), self.chains.chain_of(BLUR), Pace(), Pace()
        for _ in range(30):
            for pace, chain, seconds in ((other, gray, 0.01), (other, blur, 0.1), (gpu, gray, 0.01)):
                pace.learn(chain, SIZE, seconds, 0.0)
            gpu.learn(blur, SIZE, 0.005, 0.0)
        self.assertClose(gpu.seconds(blur, SIZE), 0.005)
        self.assertClose(gpu.seconds(gray, SIZE), 0.01)

    def test_the_first_job_of_a_worker_tells_of_the_worker(self) -> None:
        chain, known, newcomer = self.chains.chain_of(GRAY), Pace(), Pace()
        for _ in range(30):
            known.learn(chain, SIZE, 0.01, 0.0)
        newcomer.learn(chain, SIZE, 0.08, 0.0)
        self.assertAlmostEqual(chain.seconds(SIZE), 0.01)
        self.assertAlmostEqual(newcomer.seconds(chain, SIZE), 0.08)

    def test_a_new_value_of_a_parameter_is_no_new_chain(self) -> None:
        def resize(side: int) -> Chain:
            return self.chains.chain_of((("resize", {"width": side, "height": side, "fit": "stretch"}),))

        first, pace, known = resize(2600), Pace(), Pace()
        for _ in range(10):
            known.learn(first, first.size(1), 3.0, 0.0)
        for side in (2601, 2650):
            self.assertClose(pace.seconds(resize(side), resize(side).size(1)), 3.0 * (side / 2600) ** 2)
        self.assertFalse(self.chains.chain_of((("blur", {"sigma": 50.0}),)).known)

    def test_parameters_of_any_size_are_understood(self) -> None:
        for value in (10**400, -(10**400), 1e308, float("inf"), float("nan"), None, True, "x", [1]):
            chain = self.chains.chain_of((("odd", {"width": value, "amount": value}),))
            self.assertGreater(chain.seconds(chain.size(1)), 0.0)

    def test_no_time_at_all_is_understood(self) -> None:
        chain, pace = self.chains.chain_of(GRAY), Pace()
        pace.learn(chain, SIZE, 0.0, 0.0)
        self.assertGreater(pace.seconds(chain, SIZE), 0.0)

    def test_chains_and_pairs_are_bounded(self) -> None:
        pace = Pace()
        kept = self.chains.chain_of(GRAY)
        for sigma in range(6000):
            pace.learn(self.chains.chain_of((("text", {"words": str(sigma)}),)), SIZE, 0.1, 0.0)
            self.assertIs(self.chains.chain_of(GRAY).cost, kept.cost)  # used all the time
        self.assertLessEqual(self.chains._cost.cache_info().currsize, 4096)
        self.assertLessEqual(len(pace.pairs), 32)

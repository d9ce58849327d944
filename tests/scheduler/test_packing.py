"""Huge pictures on workers that have memory for a few of them."""

from __future__ import annotations

from twisted.trial.unittest import TestCase

from tests.scheduler.fakes import GIB, info, load, waiting, workload
from tests.scheduler.world import World

PIXELS_PER_GIB = GIB // 15  # of need: three bytes a pixel, five times


class PackingTests(TestCase):
    """One worker with four slots and 4 GiB."""

    def setUp(self) -> None:
        self.world = World()
        self.world.join("a", info("a", slots=4, capacity=8), load(4 * GIB, 4 * GIB))
        self.needs: list[float] = []

    def add(self, *gib: float, name: str = "huge", owner: str = "ann") -> None:
        first = len(self.needs)
        self.needs += gib
        jobs = [waiting(first + i, int(need * PIXELS_PER_GIB)) for i, need in enumerate(gib)]
        self.world.add(workload(name, owner), jobs)

    def held(self) -> list[float]:
        """What the worker's jobs need, in GiB."""
        return [self.needs[number] for number in self.world.jobs("a")]

    def finish_first(self) -> None:
        self.world.finish("a", next(iter(self.world.sent["a"].values())).lease)
        self.world.settle()

    def test_three_at_a_time_where_three_of_mean_size_fit(self) -> None:
        """The two largest would leave room for no third."""
        self.add(1.5, 1.5, 1.2, 1.2, 1.2, 1.2)
        self.world.settle()
        self.assertEqual(self.held(), [1.5, 1.2, 1.2])

    def test_the_order_is_kept_up_as_places_become_free(self) -> None:
        self.add(1.5, 1.5, 1.5, 1.2, 1.2, 1.2, 1.2, 1.2, 1.2)
        self.world.settle()
        for _ in range(4):
            self.finish_first()
            self.assertEqual(sorted(self.held()), [1.2, 1.2, 1.5])

    def test_the_largest_first_where_no_more_fit_by_mixing(self) -> None:
        self.add(1.2, 1.8, 1.2, 1.8, 1.8)
        self.world.settle()
        self.assertEqual(self.held(), [1.8, 1.8])

    def test_small_pictures_fill_the_gaps_and_do_not_count(self) -> None:
        self.add(0.1, 0.1, 0.1, 0.1, 0.1, 1.8, 1.8, 1.8)
        self.world.settle()
        self.assertEqual(self.held()[:2], [1.8, 1.8])

    def test_another_workload_does_not_lose_its_turn(self) -> None:
        """Only the sizes of one workload change places."""
        self.add(1.9, name="other", owner="bob")
        self.add(1.2, 1.2, 1.2, 1.2)
        self.world.settle()
        self.assertEqual(self.held()[0], 1.9)

    def test_the_largest_is_not_passed_over_for_ever(self) -> None:
        """It fits whenever the worker is empty, but never beside two others, and others keep coming."""
        self.add(*[1.1] * 12, 1.9)
        self.world.settle()
        turns = 0
        while 1.9 not in self.held():
            turns += 1
            self.assertLess(turns, 5, "passed over for longer than its patience")
            self.add(*[1.1] * 12)
            for _ in self.held():
                self.world.finish("a", next(iter(self.world.sent["a"].values())).lease)
            self.world.advance(10.0)
            self.world.settle()
        self.assertGreater(turns, 1, "it was not passed over at all")

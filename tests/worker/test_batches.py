"""When an exchange begins, and with what."""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.worker.batches import WINDOW_SECONDS, Batches


class BatchesTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1000)
        self.sent: list[Sequence[int]] = []
        self.exchanges: list[Deferred[Sequence[str]]] = []
        self.batches: Batches[int, str] = Batches(self.exchange, self.clock, 4, 100, lambda item: item)

    def exchange(self, items: Sequence[int]) -> Deferred[Sequence[str]]:
        self.sent.append(items)
        self.exchanges.append(Deferred())
        return self.exchanges[-1]

    def answer(self) -> None:
        """The exchange under way ends."""
        self.exchanges[-1].callback([f"{item}" for item in self.sent[-1]])

    def add(self, *items: int) -> list[Deferred[str]]:
        return [self.batches.add(item) for item in items]

    def test_one_alone_waits_for_nothing(self) -> None:
        [waiting] = self.add(1)
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1]])
        self.answer()
        self.assertEqual(self.successResultOf(waiting), "1")
        self.clock.advance(WINDOW_SECONDS)
        self.add(2)
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1], [2]])

    def test_those_of_one_turn_go_together(self) -> None:
        waiting = self.add(1, 2, 3)
        self.clock.advance(0)
        self.answer()
        self.assertEqual([self.successResultOf(one) for one in waiting], ["1", "2", "3"])
        self.assertEqual(self.sent, [[1, 2, 3]])

    def test_what_comes_soon_after_another_waits_for_more(self) -> None:
        self.add(1)
        self.clock.advance(0)
        self.answer()
        self.add(2)
        self.clock.advance(WINDOW_SECONDS / 2)
        self.add(3)
        self.assertEqual(self.sent, [[1]])
        self.clock.advance(WINDOW_SECONDS / 2)
        self.assertEqual(self.sent, [[1], [2, 3]])

    def test_one_exchange_at_most_is_under_way(self) -> None:
        self.add(1)
        self.clock.advance(0)
        self.add(2, 3, 4, 5, 6)
        self.clock.advance(10)
        self.assertEqual(self.sent, [[1]])
        self.answer()
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1], [2, 3, 4, 5]])
        self.answer()
        self.clock.advance(WINDOW_SECONDS)
        self.assertEqual(self.sent[2:], [[6]])

    def test_a_full_batch_waits_no_longer(self) -> None:
        self.add(1)
        self.clock.advance(0)
        self.answer()
        self.add(2, 3, 4)
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1]])
        self.add(5)
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1], [2, 3, 4, 5]])

    def test_it_is_full_by_its_size_too_and_a_large_one_goes_alone(self) -> None:
        self.add(60, 50, 500, 1)
        for _ in range(4):
            self.clock.advance(0)
            self.answer()
            self.clock.advance(WINDOW_SECONDS)
        self.assertEqual(self.sent, [[60], [50], [500], [1]])

    def test_an_exchange_that_fails_fails_all_of_it_and_the_next_goes_on(self) -> None:
        waiting = self.add(1, 2)
        self.clock.advance(0)
        late = self.add(3)
        self.exchanges[-1].errback(ZeroDivisionError())
        for one in waiting:
            self.failureResultOf(one, ZeroDivisionError)
        self.clock.advance(WINDOW_SECONDS)
        self.answer()
        self.assertEqual(self.successResultOf(late[0]), "3")

    def test_in_the_end_nothing_waits_for_more(self) -> None:
        self.add(1)
        self.clock.advance(0)
        self.answer()
        self.add(2)
        self.batches.hurry()
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1], [2]])
        self.answer()
        self.add(3)
        self.clock.advance(0)
        self.assertEqual(self.sent[2:], [[3]])

    def test_a_clock_that_is_set_back_keeps_nobody_waiting(self) -> None:
        self.add(1)
        self.clock.advance(0)
        self.answer()
        self.clock.rightNow -= 500
        self.add(2)
        self.clock.advance(0)
        self.assertEqual(self.sent, [[1], [2]])

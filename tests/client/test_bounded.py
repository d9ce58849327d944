"""Bounded parallel work."""

from __future__ import annotations

from collections.abc import Iterator

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from dpip.client import gather_bounded


class GatherTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.under_way: dict[int, Deferred[str]] = {}
        self.stopped: list[int] = []

    async def work(self, item: int) -> str:
        self.under_way[item] = Deferred()
        try:
            return await self.under_way[item]
        except CancelledError:
            self.stopped.append(item)
            raise

    def begin(self, limit: int, items: Iterator[int]) -> Deferred[list[str]]:
        return Deferred.fromCoroutine(gather_bounded(limit, self.work, items))

    def test_no_more_than_the_limit_at_a_time_and_items_are_taken_as_needed(self) -> None:
        items = iter(range(5))
        gathering = self.begin(2, items)
        self.assertEqual(list(self.under_way), [0, 1])
        self.under_way[1].callback("one")
        self.assertEqual(list(self.under_way), [0, 1, 2])
        self.assertEqual(next(items), 3)
        for item in (0, 2, 4):
            self.under_way[item].callback(str(item))
        self.assertEqual(self.successResultOf(gathering), ["0", "one", "2", "4"])

    def test_nothing_to_do(self) -> None:
        self.assertEqual(self.successResultOf(self.begin(3, iter(()))), [])

    def test_a_failure_stops_the_others_and_is_raised_itself(self) -> None:
        gathering = self.begin(3, iter(range(9)))
        self.under_way[1].errback(ValueError("bad"))
        self.assertEqual(str(self.failureResultOf(gathering, ValueError).value), "bad")
        self.assertEqual((sorted(self.stopped), len(self.under_way)), ([0, 2], 3))

    def test_a_failing_source_is_raised_too(self) -> None:
        def items() -> Iterator[int]:
            yield 0
            raise OSError("no such folder")

        gathering = self.begin(2, items())
        self.failureResultOf(gathering, OSError)
        self.assertEqual(self.stopped, [0])

    def test_cancelling_stops_everything(self) -> None:
        gathering = self.begin(2, iter(range(9)))
        gathering.cancel()
        self.failureResultOf(gathering, CancelledError)
        self.assertEqual((sorted(self.stopped), len(self.under_way)), ([0, 1], 2))

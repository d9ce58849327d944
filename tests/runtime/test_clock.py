"""Clocks that are set back, and timers."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.runtime import clock
from dpip.runtime.clock import catch_up, keep_timers_going


class CatchUpTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_700_000_000)
        self.called: list[str] = []

    def later(self, seconds: float, name: str) -> None:
        self.clock.callLater(seconds, self.called.append, name)

    def test_timers_of_before_are_due_when_they_would_have_been(self) -> None:
        self.later(0.4, "soon")
        self.later(75, "later")
        self.clock.rightNow -= 3600
        self.later(20, "set since")
        catch_up(self.clock, 3600)
        self.clock.advance(0.4)
        self.assertEqual(self.called, ["soon"])
        self.clock.advance(20)
        self.assertEqual(self.called, ["soon", "set since"])
        self.clock.advance(54.6)
        self.assertEqual(self.called, ["soon", "set since", "later"])

    def test_what_should_have_been_called_meanwhile_is_called_at_once(self) -> None:
        self.later(0.4, "overdue")
        self.clock.rightNow -= 3600 - 1  # the clock was set back a second ago
        catch_up(self.clock, 3600)
        self.clock.advance(0)
        self.assertEqual(self.called, ["overdue"])


class WatchTests(SynchronousTestCase):
    """The thread, by clocks of its own; it goes on for as long as the process does."""

    def setUp(self) -> None:
        self.patch(clock, "LOOK_SECONDS", 0.001)
        self.caught_up: SimpleQueue[tuple[Any, ...]] = SimpleQueue()

    def callWhenRunning(self, start: Callable[[], object]) -> None:
        start()

    def callFromThread(self, *call: Any) -> None:
        self.caught_up.put(call)

    def watched(self, *offsets: float) -> tuple[Any, ...]:
        """What the reactor is told first when its clock is apart from the one that nobody sets by that much,
        each time that it is looked at; in the end it is set back once more."""
        remaining = list(offsets)
        keep_timers_going(self, lambda: remaining.pop(0) if len(remaining) > 1 else remaining[0], lambda: 0.0)
        return self.caught_up.get(timeout=30)

    def test_a_clock_that_is_set_back_is_noticed(self) -> None:
        self.assertEqual(self.watched(50.0, 50.0, 20.0), (catch_up, self, 30.0))

    def test_one_that_is_set_forward_or_a_little_is_left_alone(self) -> None:
        self.assertEqual(self.watched(50.0, 99.0, 98.9, 98.0, 198.0, 8.0), (catch_up, self, 190.0))

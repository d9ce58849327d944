"""Two ends that ask each other: many questions in one message, and no question that is never answered."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import NotFound, QuotaExceeded, RetryLater
from dpip.link import exchange as exchange_module
from dpip.link.exchange import BEAT_SECONDS, Exchange, PeerFault
from tests.link.links import joined


class ExchangeTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.heard: list[Any] = []
        self.answers: dict[str, Any] = {}
        self.one = Exchange(self.clock, self.answer)
        self.other = Exchange(self.clock, self.answer)
        self.to_other, self.to_one = joined(self.one, self.other, self.clock)

    def answer(self, name: str, arguments: list[Any]) -> Any:
        self.heard.append((name, arguments))
        answer = self.answers.get(name)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def turn(self) -> None:
        for _ in range(4):
            self.clock.advance(0)

    def test_what_is_asked_in_one_turn_is_one_message_and_so_are_its_answers(self) -> None:
        self.answers = {"a": 1, "b": {"two": 2}}
        asked = [self.one.ask("a", 5), self.one.ask("b"), self.one.ask("a")]
        self.turn()
        self.assertEqual([self.successResultOf(one) for one in asked], [1, {"two": 2}, 1])
        self.assertEqual(self.heard, [("a", [5]), ("b", []), ("a", [])])
        self.assertEqual((len(self.to_other.sent), len(self.to_one.sent)), (1, 1))

    def test_both_sides_ask(self) -> None:
        self.answers = {"a": 1}
        asked = self.one.ask("a"), self.other.ask("a")
        self.turn()
        self.assertEqual([self.successResultOf(one) for one in asked], [1, 1])

    def test_an_answer_may_take_its_time_and_others_pass_it(self) -> None:
        slow: Deferred[int] = Deferred()
        self.answers = {"slow": slow, "fast": 1}
        first, second = self.one.ask("slow"), self.one.ask("fast")
        self.turn()
        self.assertNoResult(first)
        self.assertEqual(self.successResultOf(second), 1)
        slow.callback(2)
        self.turn()
        self.assertEqual(self.successResultOf(first), 2)

    def test_errors_cross_with_all_they_say(self) -> None:
        self.answers = {
            "quota": QuotaExceeded("Too much.", quota=5, used=4),
            "later": RetryLater("Busy.", retry_after=7, more=1),
        }
        quota = self.one.ask("quota")
        later = self.one.ask("later")
        self.turn()
        error = self.failureResultOf(quota, QuotaExceeded).value
        self.assertEqual((error.detail, error.members), ("Too much.", {"quota": 5, "used": 4}))
        busy = self.failureResultOf(later, RetryLater).value
        self.assertEqual((busy.retry_after, busy.members), (7, {"more": 1}))

    def test_a_fault_is_logged_where_it_happens_and_only_that_it_happened_is_told(self) -> None:
        self.answers = {"a": ZeroDivisionError("private")}
        asked = self.one.ask("a")
        self.turn()
        self.assertNotIn("private", str(self.failureResultOf(asked, PeerFault).value))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_what_is_told_is_not_answered(self) -> None:
        self.answers = {"a": NotFound("Nobody waits for this.")}
        self.one.notify("a", 1)
        self.turn()
        self.assertEqual((self.heard, self.to_one.sent), ([("a", [1])], []))

    def test_a_long_message_goes_in_pieces(self) -> None:
        self.patch(exchange_module, "PIECE_BYTES", 10)
        self.answers = {"a": "x" * 1000}
        asked = self.one.ask("a")
        self.turn()
        self.assertEqual(self.successResultOf(asked), "x" * 1000)
        self.assertGreater(len(self.to_one.sent), 100)

    def test_a_message_without_end_ends_the_link(self) -> None:
        self.patch(exchange_module, "MESSAGE_BYTES", exchange_module.PIECE_BYTES * 3)
        for _ in range(4):
            self.one.remote_take(b"[", b"more")
        self.assertEqual(self.to_other.broker.dropped, ["a message without end"])

    def test_when_the_link_is_lost_nobody_waits_for_ever(self) -> None:
        self.answers = {"a": Deferred()}
        asked = self.one.ask("a")
        self.turn()
        self.one.stop()
        self.assertGreater(self.failureResultOf(asked, RetryLater).value.retry_after, 0)
        self.failureResultOf(self.one.ask("a"), RetryLater)
        self.one.notify("a")
        self.one.stop()
        self.other.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_an_answer_that_comes_after_the_link_is_lost_does_no_harm(self) -> None:
        slow: Deferred[int] = Deferred()
        self.answers = {"slow": slow}
        self.one.ask("slow").addErrback(lambda _: None)
        self.turn()
        self.one.stop()
        self.other.stop()
        slow.callback(1)
        self.turn()

    def test_an_idle_link_lives_and_a_silent_one_is_dropped(self) -> None:
        for _ in range(10):
            self.clock.advance(BEAT_SECONDS)
            self.turn()
        self.assertEqual(self.to_other.broker.dropped, [])
        self.to_one.end = None  # nothing comes through any more
        for _ in range(4):
            self.clock.advance(BEAT_SECONDS)
            self.turn()
        self.assertEqual(self.to_other.broker.dropped, ["nothing heard from it for too long"])

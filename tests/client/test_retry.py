"""What is tried again, after which pauses, and when it ends."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.client import ApiError, Client, Unreachable
from dpip.client.retry import Retry
from tests.client.server import (
    HurriedClock,
    StandInTestCase,
    answer,
    hang_up,
    problem,
    reactor,
    say_nothing,
    stop_in_the_middle,
)


class RetryTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()

    def test_pauses_double_up_to_a_longest_and_are_shortened_by_chance(self) -> None:
        longest = Retry(self.clock, first=1, longest=8, chance=lambda: 0.0)
        self.assertEqual([longest.pause(n, None) for n in range(1, 7)], [1, 2, 4, 8, 8, 8])
        shortest = Retry(self.clock, first=1, longest=8, chance=lambda: 1.0)
        self.assertEqual([shortest.pause(n, None) for n in range(1, 7)], [0.5, 1, 2, 4, 4, 4])
        self.assertEqual(longest.pause(10_000, None), 8)

    def test_a_longer_retry_after_is_honoured_and_a_shorter_one_too_late_to_matter(self) -> None:
        retry = Retry(self.clock, first=1, longest=8, chance=lambda: 0.0)
        self.assertEqual((retry.pause(1, 20), retry.pause(4, 1)), (20, 8))

    def test_patience_counts_from_the_first_failure(self) -> None:
        retry = Retry(self.clock, patience=10, first=4, longest=4, chance=lambda: 0.0)
        tries: list[float] = []

        async def attempt() -> None:
            tries.append(self.clock.seconds())
            raise Unreachable("x", "y")

        self.clock.advance(100)
        running = Deferred.fromCoroutine(retry(attempt))
        self.clock.pump([1] * 20)
        self.failureResultOf(running, Unreachable)
        self.assertEqual(tries, [100, 104, 108])


class RetriedRequestTests(StandInTestCase):
    async def test_busy_answers_and_broken_connections_are_tried_again(self) -> None:
        self.say(
            problem(503, Retry_After="7"),
            hang_up,
            problem(429, Retry_After="1"),
            problem(503, Retry_After="soon"),
            answer({"system_name": "DPIP"}),
        )
        self.assertEqual((await self.client.status())["system_name"], "DPIP")
        self.assertEqual(self.clock.pauses, [7, 0.4, 1, 1.5])

    async def test_other_answers_are_final(self) -> None:
        for status in (400, 401, 403, 404, 409, 413, 415, 422, 500, 507):
            self.say(problem(status))
            error = await self.refusal(ApiError, self.client.status())
            self.assertEqual(error.status, status)
        self.assertEqual((len(self.seen), self.clock.pauses), (10, []))

    async def test_a_wait_beyond_our_patience_is_not_begun(self) -> None:
        self.say(problem(429, "too-many-requests", "Slow down.", Retry_After="31"))
        error = await self.refusal(ApiError, self.client.status())
        self.assertEqual((error.retry_after, error.attempts, self.clock.pauses), (31, 1, []))

    async def test_an_answer_cut_short_is_tried_again(self) -> None:
        self.say(stop_in_the_middle(b'{"half'), answer({"whole": True}))
        self.assertEqual(await self.client.status(), {"whole": True})

    async def test_the_same_workload_is_asked_for_again(self) -> None:
        made = {"workload_id": "w", "workload_name": "n", "status": "scheduling"}
        self.say(hang_up, problem(503), answer(made, 201))
        await self.client.create_workload(filter="blur")
        self.assertEqual(len({request.headers["idempotency-key"] for request in self.seen}), 1)
        self.assertEqual(len(self.seen), 3)

    async def test_nobody_there(self) -> None:
        clock = HurriedClock()
        client = Client(reactor, "http://127.0.0.1:1", clock=clock)
        error = await self.refusal(Unreachable, client.status())
        self.assertEqual(
            str(error),
            "No answer from http://127.0.0.1:1: nothing listens there (connection refused).",
        )
        self.assertGreater(sum(clock.pauses), 20)
        self.assertLessEqual(sum(clock.pauses), 30)

    async def test_silence_counts_as_a_broken_connection(self) -> None:
        self.say(say_nothing, answer({"late": True}))
        arrived = self.stand_in.arrived
        asking = Deferred.fromCoroutine(self.client.status())
        await arrived
        self.clock.advance(60)
        self.assertEqual(await asking, {"late": True})

    async def test_a_caller_who_gives_up_is_not_kept_waiting(self) -> None:
        self.say(say_nothing)
        arrived = self.stand_in.arrived
        asking = Deferred.fromCoroutine(self.client.status())
        await arrived
        asking.cancel()
        await self.refusal(CancelledError, asking)
        self.assertEqual((self.clock.pauses, self.clock.getDelayedCalls()), ([], []))

"""Small pictures, made by workers when they are asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.controller.thumbnails import Thumbnails, memory_for
from dpip.errors import NotFound, RetryLater
from dpip.model import LeasedJob, StoredPicture
from tests.link.test_api_messages import IMAGE, INFO


@define(eq=False)
class Maker:
    session: str
    slots: int = 1
    filters: tuple[str, ...] = ("thumbnail",)
    asked: list[tuple[LeasedJob, Deferred[bytes]]] = field(factory=list)

    @property
    def info(self) -> Any:
        return evolve(INFO, name=self.session, slots=self.slots, filters=dict.fromkeys(self.filters, "1"))

    def thumbnail(self, job: LeasedJob) -> Deferred[bytes]:
        answer: Deferred[bytes] = Deferred()
        self.asked.append((job, answer))
        return answer

    def answer(self, data: bytes) -> None:
        self.asked.pop(0)[1].callback(data)

    def fail(self, error: Exception) -> None:
        self.asked.pop(0)[1].errback(error)


def image(name: str) -> Any:
    return evolve(IMAGE, id=name)


class ThumbnailsTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.makers = [Maker("a")]
        self.loans: list[tuple[str, int]] = []
        self.memory = 100
        numbers = iter(range(10_000))
        self.thumbnails = Thumbnails(
            lambda: self.makers, lambda: f"nonce{next(numbers)}", self.clock, self.lend, limit=10_000
        )

    def lend(self, session: str, need: int) -> Callable[[], object] | None:
        """There is memory for so many at once."""
        if len(self.loans) >= self.memory:
            return None
        loan = session, need
        self.loans.append(loan)
        return lambda: self.loans.remove(loan)

    def made(self, name: str, data: bytes = b"small") -> bytes:
        """Asked for, and made at once."""
        wanted = self.thumbnails.thumbnail_of(image(name))
        self.makers[0].answer(data)
        return self.successResultOf(wanted)

    def test_a_worker_makes_it_and_it_is_remembered(self) -> None:
        self.assertEqual(self.made("i", b"small"), b"small")
        self.assertEqual(self.successResultOf(self.thumbnails.thumbnail_of(image("i"))), b"small")
        self.assertEqual(self.makers[0].asked, [])

    def test_many_who_ask_at_once_are_one_question(self) -> None:
        wanted = [self.thumbnails.thumbnail_of(image("i")) for _ in range(5)]
        [(job, _)] = self.makers[0].asked
        self.assertEqual(job.steps, (("thumbnail", {"size": 256}),))
        self.assertEqual(job.output, {"format": "JPEG", "quality": 80, "metadata": "strip"})
        self.makers[0].answer(b"small")
        self.assertEqual([self.successResultOf(one) for one in wanted], [b"small"] * 5)

    def test_the_image_is_lent_while_it_is_made(self) -> None:
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.assertEqual(self.thumbnails.lent_image("a", "i"), image("i"))
        self.assertIsNone(self.thumbnails.lent_image("b", "i"))
        self.assertIsNone(self.thumbnails.lent_image("a", "j"))
        self.makers[0].answer(b"small")
        self.successResultOf(wanted)
        self.assertIsNone(self.thumbnails.lent_image("a", "i"))

    def test_each_has_a_nonce_of_its_own(self) -> None:
        self.thumbnails.thumbnail_of(image("i"))
        self.thumbnails.thumbnail_of(image("j"))
        self.assertEqual(len({job.lease for job, _ in self.makers[0].asked}), 2)

    def test_the_least_busy_worker_is_asked(self) -> None:
        self.makers = [Maker("a", slots=1), Maker("b", slots=3), Maker("c", filters=("blur",))]
        for number in range(8):
            self.thumbnails.thumbnail_of(image(str(number)))
        self.assertEqual([len(maker.asked) for maker in self.makers], [2, 6, 0])

    def test_another_worker_tries_when_one_cannot(self) -> None:
        self.makers = [Maker("a"), Maker("b")]
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.makers[0].fail(RetryLater("leaving"))
        self.assertNoResult(wanted)
        self.makers[1].answer(b"small")
        self.assertEqual(self.successResultOf(wanted), b"small")

    def test_without_workers_it_is_for_later_and_not_remembered(self) -> None:
        [maker] = self.makers
        self.makers = []
        error = self.failureResultOf(self.thumbnails.thumbnail_of(image("i")), RetryLater).value
        self.assertEqual(error.retry_after, 5)
        self.makers = [maker]
        self.assertEqual(self.made("i"), b"small")

    def test_not_more_than_three_workers_are_asked(self) -> None:
        self.makers = [Maker(name) for name in "abcde"]
        wanted = self.thumbnails.thumbnail_of(image("i"))
        for maker in self.makers[:3]:
            maker.fail(RetryLater("no"))
        self.failureResultOf(wanted, RetryLater)
        self.assertEqual(self.makers[3].asked, [])

    def test_a_picture_of_which_none_can_be_made(self) -> None:
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.makers[0].answer(b"")
        self.failureResultOf(wanted, NotFound)
        self.failureResultOf(self.thumbnails.thumbnail_of(image("i")), NotFound)
        self.assertEqual(self.makers[0].asked, [])

    def test_who_asks_does_not_wait_for_ever_and_finds_it_later(self) -> None:
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.clock.advance(10)
        self.failureResultOf(wanted, RetryLater)
        self.makers[0].answer(b"small")
        self.assertEqual(self.successResultOf(self.thumbnails.thumbnail_of(image("i"))), b"small")

    def test_what_is_remembered_is_bounded(self) -> None:
        for number in range(8):
            self.made(str(number), b"x" * 2000)
        self.thumbnails.thumbnail_of(image("0"))
        self.assertEqual(len(self.makers[0].asked), 1)
        self.assertEqual(self.successResultOf(self.thumbnails.thumbnail_of(image("7"))), b"x" * 2000)

    def test_memory_is_borrowed_while_it_is_made(self) -> None:
        wanted = self.thumbnails.thumbnail_of(image("i"))
        [(session, need)] = self.loans
        self.assertEqual(session, "a")
        self.assertGreaterEqual(need, IMAGE.file.picture.width * IMAGE.file.picture.height * 3)
        self.makers[0].answer(b"small")
        self.successResultOf(wanted)
        self.assertEqual(self.loans, [])

    def test_without_free_memory_it_waits_like_a_job(self) -> None:
        self.memory = 1
        first, second = (self.thumbnails.thumbnail_of(image(name)) for name in "ij")
        self.assertEqual(len(self.makers[0].asked), 1)
        self.makers[0].answer(b"one")
        self.successResultOf(first)
        self.makers[0].answer(b"two")
        self.assertEqual(self.successResultOf(second), b"two")

    def test_memory_that_others_free_is_found_soon(self) -> None:
        self.memory = 0
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.memory = 1
        self.clock.advance(0.5)
        self.makers[0].answer(b"small")
        self.assertEqual(self.successResultOf(wanted), b"small")

    def test_without_memory_for_long_it_is_for_later(self) -> None:
        self.memory = 0
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.clock.pump([0.5] * 21)
        self.failureResultOf(wanted, RetryLater)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_large_picture_needs_much_and_a_jpeg_less_than_its_pixels(self) -> None:
        def need(format: str, bits: int = 8) -> int:
            picture = StoredPicture(format, "", 10_000, 10_000, 0, 4 if format == "PNG" else 3, bits)
            return memory_for(evolve(IMAGE.file, picture=picture)) >> 20

        self.assertGreater(need("PNG"), 3500)
        self.assertGreater(need("AVIF", 16), need("AVIF") + 600)
        self.assertLess(need("JPEG", 16), 900)  # of which are 600 what a progressive one keeps

    def test_few_are_made_at_once_and_a_bounded_number_waits(self) -> None:
        self.makers = [Maker("a", slots=16)]
        users = [f"user {number % 10}" for number in range(1001)]
        wanted = [self.thumbnails.thumbnail_of(image(str(n)), user) for n, user in enumerate(users)]
        self.assertEqual(len(self.makers[0].asked), 32)
        self.failureResultOf(wanted[1000], RetryLater)
        self.makers[0].answer(b"small")
        self.assertEqual(len(self.makers[0].asked), 32)
        while self.makers[0].asked:
            self.makers[0].answer(b"small")
        self.assertEqual([self.successResultOf(one) for one in wanted[:1000]], [b"small"] * 1000)

    def test_a_bug_is_logged_and_nobody_waits_for_it(self) -> None:
        wanted = self.thumbnails.thumbnail_of(image("i"))
        self.makers[0].fail(ZeroDivisionError())
        self.failureResultOf(wanted, ZeroDivisionError)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.made("i"), b"small")

    def test_one_user_has_some_dozens_that_wait_and_others_have_theirs(self) -> None:
        many = [self.thumbnails.thumbnail_of(image(f"i{number}"), "eve") for number in range(200)]
        for refused in many[128:]:
            self.failureResultOf(refused, RetryLater)
        self.assertNoResult(self.thumbnails.thumbnail_of(image("j"), "ann"))
        for _ in range(129):
            self.makers[0].answer(b"small")
        for one in many[:128]:
            self.assertEqual(self.successResultOf(one), b"small")
        self.assertNoResult(self.thumbnails.thumbnail_of(image("k"), "eve"))

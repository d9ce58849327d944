"""Logins that are refused from their first bytes, when too many have failed from their address."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from dpip.api.http import channel, early_refusals
from dpip.api.http.early_refusals import EarlyRefusals
from dpip.errors import TooManyRequests
from tests.api.client import request_bytes
from tests.api.fixture import ApiTest, basic
from tests.api.wire import Wire


def check(name: str, address: str) -> None:
    if (name, address) != ("ann", "192.0.2.1"):
        raise TooManyRequests("Too many failed logins. Try again in 7 seconds.", retry_after=7)


class EarlyRefusalsTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.early = self.site.early = EarlyRefusals(check)

    def sent(self, data: bytes) -> Wire:
        wire = Wire(self.site)
        wire.send(data)
        return wire

    def guess(self, name: str = "nobody") -> bytes:
        return request_bytes("POST", "/login", basic(name, "password-of-ann"))

    def test_a_guess_is_refused_late_and_its_connection_ends(self) -> None:
        asked = len(self.calls("login"))
        wire = self.sent(self.guess())
        self.assertEqual((wire.value(), self.early.held), (b"", 1))
        self.clock.advance(early_refusals.LATE_SECONDS)
        answer = wire.response()
        self.assert_problem(answer, 429, "too-many-requests")
        self.assertEqual(answer.headers["retry-after"], "7")
        self.assertFalse(wire.connected)
        self.assertEqual((len(self.calls("login")), self.early.held), (asked, 0))
        self.assert_nothing_left()

    def test_who_may_log_in_does(self) -> None:
        wire = self.sent(self.guess("ann"))
        self.assertEqual(wire.response().status, 200)

    def test_who_leaves_before_the_answer_is_forgotten(self) -> None:
        self.sent(self.guess()).hang_up()
        self.assertEqual(self.early.held, 0)
        self.assert_nothing_left()

    def test_no_more_than_some_wait_at_once(self) -> None:
        self.patch(channel, "MOST_HELD", 2)
        wires = [self.sent(self.guess()) for _ in range(3)]
        self.assertEqual([bool(wire.value()) for wire in wires], [False, False, True])
        for wire in wires[:2]:
            wire.hang_up()

    def test_what_comes_later_on_such_a_connection_is_thrown_away(self) -> None:
        wire = self.sent(self.guess())
        wire.send(self.guess("ann"))
        self.clock.advance(early_refusals.LATE_SECONDS)
        self.assert_problem(wire.response(), 429, "too-many-requests")
        self.assertEqual(wire.value(), b"")
        self.assertTrue(wire.half_closed)
        wire.hang_up()

    def test_everything_else_is_served_on_the_same_address(self) -> None:
        head = {"Authorization": f"Bearer {self.user}"}
        self.assertEqual(self.sent(request_bytes("GET", "/status", head)).response().status, 200)


class WholeHeadsTests(SynchronousTestCase):
    """Only what is the whole head of a login of one user is refused early."""

    def test_the_rest_is_parsed(self) -> None:
        early, [head] = EarlyRefusals(check), [request_bytes("POST", "/login", basic("nobody", "x"))]
        self.assertIsInstance(early.of(head, "192.0.2.1"), TooManyRequests)
        self.assertIsInstance(
            early.of(head.replace(b"Authorization", b"aUTHORIZATION"), "a"), TooManyRequests
        )
        twice = request_bytes("POST", "/login", basic("nobody", "x")).replace(
            b"\r\nAuthorization", b"\r\nAuthorization: Basic YW5uOng=\r\nAuthorization"
        )
        in_body = request_bytes("POST", "/login", {}, b"\r\nAuthorization: Basic eDp5\r\n")
        others = [head[:-1], head[1:], b"GET" + head[4:], twice, in_body, head.replace(b"Basic", b"Bearer")]
        self.assertEqual([early.of(other, "192.0.2.9") for other in others], [None] * len(others))

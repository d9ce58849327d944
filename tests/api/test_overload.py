"""Uploads that are too many are sent away cheaply, told when to come again, and can do so where they are."""

from __future__ import annotations

from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.disk_space import MIB
from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture
from tests.api.wire import Wire
from tests.store.test_admission import Space


class OverloadTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.admission = AdmissionControl(
            Space(free=100 * MIB), MIB, 10 * MIB, RetryAfterQueue(self.clock.seconds)
        )
        self.admission.max_unanswered = 1
        self.controller.admit_upload = self.admission.admit
        self.workload = self.stored_workload()
        self.wire = Wire(self.site)

    def request(self, **headers: str) -> bytes:
        form = Form().field("workload_id", self.workload).file("data", "a.png", picture())
        named = {"Content-Type": form.content_type, "Authorization": f"Bearer {self.user}", **headers}
        return request_bytes("POST", "/images", named, form.body)

    def head(self, length: int, **headers: str) -> bytes:
        named = {
            "Content-Type": Form().content_type,
            "Authorization": f"Bearer {self.user}",
            "Content-Length": str(length),
            **headers,
        }
        return request_bytes("POST", "/images", named)

    def assert_sent_away(self, wire: Wire, after: str = "1") -> None:
        response = wire.response()
        self.assert_problem(response, 503, "busy")
        self.assertEqual(response.headers["retry-after"], after)

    def test_while_one_is_kept_others_are_sent_away_and_come_again_on_the_same_connection(self) -> None:
        held = self.controller.hold("commit_originals")
        other = Wire(self.site)
        other.send(self.request())
        self.wire.send(self.request())
        self.assert_sent_away(self.wire)
        self.assertFalse(self.wire.half_closed)
        held.release()
        self.assertEqual(other.response().status, 201)
        self.wire.send(self.request())
        self.assertEqual(self.wire.response().status, 201)
        self.assertEqual(self.admission.unanswered, 0)

    def test_nothing_is_opened_or_asked_for_who_is_sent_away(self) -> None:
        self.admission.max_unanswered = 0
        opened: list[object] = []
        self.patch(self.store, "incoming", lambda: opened.append(1))
        before = len(self.controller.log)
        self.wire.send(self.request())
        self.assert_sent_away(self.wire)
        self.assertEqual(opened, [])
        asked = {call[0] for call in self.controller.log[before:]}
        self.assertLessEqual(asked, {"authenticate", "admit_upload"})

    def test_what_is_not_an_upload_is_answered_as_always(self) -> None:
        self.admission.max_unanswered = 0
        self.wire.send(self.request())
        self.assert_sent_away(self.wire)
        self.wire.send(request_bytes("GET", "/workloads", {"Authorization": f"Bearer {self.user}"}))
        self.assertEqual(self.wire.response().status, 200)

    def test_the_rest_of_the_body_is_no_request(self) -> None:
        self.admission.max_unanswered = 0
        rest = b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"
        self.wire.send(self.head(2 * len(rest)) + rest)
        self.assert_sent_away(self.wire)
        self.wire.send(rest)
        self.assertEqual(self.wire.value(), b"")
        self.wire.send(rest)
        self.assertEqual(self.wire.response().status, 200)

    def test_a_rest_that_does_not_come_is_not_waited_for(self) -> None:
        self.admission.max_unanswered = 0
        self.wire.send(self.head(1000))
        self.assert_sent_away(self.wire)
        self.clock.advance(self.limits.pace_seconds)
        self.assertTrue(self.wire.aborted)

    def test_a_client_that_leaves_leaves_nothing_behind(self) -> None:
        self.admission.max_unanswered = 0
        self.wire.send(self.head(1000))
        self.wire.hang_up()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_long_or_doubtful_rest_ends_the_connection(self) -> None:
        self.admission.max_unanswered = 0
        expects = self.head(1000, Expect="100-continue")
        for head in (self.head(self.limits.passed_over + 1), expects):
            wire = Wire(self.site)
            wire.send(head)
            self.assert_sent_away(wire)
            self.assertTrue(wire.half_closed)

"""What the headers decide is answered before the body, and the client can read the answer."""

from __future__ import annotations

import re

from dpip.api.http.auth import Access
from dpip.api.http.routes import Route
from dpip.errors import DiskFull, RetryLater
from dpip.http.batch import CONTENT_TYPE
from dpip.model import Role
from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture, raiser
from tests.api.wire import Wire


def kind_of(path: str) -> str:
    """The type of body that a route wants; those that want JSON are told apart by their length first."""
    return CONTENT_TYPE if path == "/images/batch" else Form().content_type


class HeadersDecideTests(ApiTest):
    def wire(self) -> Wire:
        return Wire(self.site)

    def head(self, token: str | None = "", **headers: str) -> bytes:
        """The headers of an upload whose body is still to come."""
        named = {"Content-Type": Form().content_type, "Content-Length": "50000"}
        if token is not None:
            named["Authorization"] = f"Bearer {token or self.user}"
        named.update({name.replace("_", "-"): value for name, value in headers.items()})
        return request_bytes("POST", "/images", {name: value for name, value in named.items() if value})

    def test_no_token_and_dead_token(self) -> None:
        for token in (None, "dead"):
            wire = self.wire()
            wire.send(self.head(token))
            response = wire.response()
            self.assert_problem(response, 401, "not-logged-in")
            self.assertEqual(response.headers["connection"], "close")
            self.assertTrue(wire.half_closed)
            self.assertFalse(wire.disconnecting)

    def test_the_length(self) -> None:
        wire = self.wire()
        wire.send(self.head(Content_Length=str(self.controller.max_upload + 1)))
        self.assert_problem(wire.response(), 413, "too-large")

    def test_the_type(self) -> None:
        for kind in ("", "image/png", "application/json", "multipart/mixed; boundary=f"):
            wire = self.wire()
            wire.send(self.head(Content_Type=kind))
            self.assert_problem(wire.response(), 415, "unsupported-media-type")
        for kind in ("multipart/form-data", "multipart/form-data; boundary=", "multipart/form-data; x=y"):
            wire = self.wire()
            wire.send(self.head(Content_Type=kind))
            self.assert_problem(wire.response(), 400, "malformed-request")
        wire = self.wire()
        wire.send(self.head(Content_Type="multipart/form-data; boundary=" + "x" * 300))
        self.assert_problem(wire.response(), 400, "malformed-request")

    def test_what_the_controller_has_no_room_for(self) -> None:
        for error, status, later in ((DiskFull("Full."), 507, "60"), (RetryLater("Busy.", 7), 503, "7")):
            self.controller.admit_upload = raiser(error)
            wire = self.wire()
            wire.send(self.head())
            response = wire.response()
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers["retry-after"], later)

    def test_other_bodies_too(self) -> None:
        wire = self.wire()
        wire.send(request_bytes("POST", "/workloads", {"Content-Length": "100"}))
        self.assert_problem(wire.response(), 401, "not-logged-in")
        wire = self.wire()
        named = {"Content-Length": "1000000", "Authorization": f"Bearer {self.user}"}
        wire.send(request_bytes("POST", "/workloads", named))
        self.assert_problem(wire.response(), 413, "too-large")

    def test_every_route_decides_before_the_body(self) -> None:
        """Not a byte of it is sent: what is answered, the headers have decided, whether the client waits for
        100 or not."""
        worker = self.controller.join_worker("w")
        for route in self.rows_of_the_api():
            path = re.sub("<[^>]+>", "x", route.path)
            allowed = self.admin if Role.ADMIN in route.access.value else worker
            for expect in ({}, {"Expect": "100-continue"}):
                for token, length, kind, refused in (
                    (None, "100", "application/json", (401, "not-logged-in")),
                    ("dead", "100", "application/json", (401, "not-logged-in")),
                    (self.user, "100", "application/json", self.role(route, Role.USER)),
                    (worker, "100", "application/json", self.role(route, Role.WORKER)),
                    (allowed, str(2**40), kind_of(path), (413, "too-large")),
                    (allowed, "100", "text/plain", (415, "unsupported-media-type")),
                ):
                    if route.access is Access.PUBLIC and refused[0] in (401, 403):
                        continue
                    named = {"Content-Length": length, "Content-Type": kind, **expect}
                    named |= {"Authorization": f"Bearer {token}"} if token else {}
                    with self.subTest(route=path, method=route.method, refused=refused):
                        wire = self.wire()
                        wire.send(request_bytes(route.method, path, named))
                        if refused == (200, ""):
                            self.assertNotIn(b"HTTP/1.1 40", wire.value())
                        else:
                            self.assertNotIn(b"100 Continue", wire.value())
                            self.assert_problem(wire.response(), *refused)

    @staticmethod
    def role(route: Route, role: Role) -> tuple[int, str]:
        """What it gets with a body of JSON still to come; (200, "") where that is read."""
        if role not in route.access.value:
            return 403, "forbidden"
        upload = (route.method, route.path) in (("POST", "/images"), ("POST", "/images/batch"))
        return (415, "unsupported-media-type") if upload else (200, "")

    def test_a_refused_client_may_finish_sending_into_nothing(self) -> None:
        wire = self.wire()
        wire.send(self.head("dead"))
        for _ in range(5):
            wire.send(b"x" * 10_000)
        wire.send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assert_problem(wire.response(), 401, "not-logged-in")
        self.assertEqual(wire.value(), b"")
        self.assertTrue(wire.connected)
        wire.hang_up()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_but_not_for_ever_and_not_any_amount(self) -> None:
        slow, greedy = self.wire(), self.wire()
        for wire in (slow, greedy):
            wire.send(self.head("dead"))
        for _ in range(self.limits.linger_bytes // 2**20):
            greedy.send(b"x" * 2**20)
        self.assertFalse(greedy.aborted)
        greedy.send(b"x")
        self.assertTrue(greedy.aborted)
        self.clock.advance(self.limits.linger_seconds - 0.1)
        slow.send(b"x")
        self.assertFalse(slow.aborted)
        self.clock.advance(0.1)
        self.assertTrue(slow.aborted)

    def test_who_asks_first_is_told_to_go_on_or_not_to(self) -> None:
        wire = self.wire()
        wire.send(self.head(Expect="100-continue"))
        self.assertEqual(wire.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
        refused = self.wire()
        refused.send(self.head("dead", Expect="100-continue"))
        self.assertNotIn(b"100 Continue", refused.value())
        self.assert_problem(refused.response(), 401, "not-logged-in")

    def test_nothing_is_read_or_promised_while_the_token_is_looked_up(self) -> None:
        workload = self.stored_workload()
        form = Form().field("workload_id", workload).file("data", "a.png", picture())
        held = self.controller.hold("authenticate")
        wire = self.wire()
        wire.send(self.head(Content_Length=str(len(form.body)), Expect="100-continue"))
        wire.send(form.body[:50])
        self.assertTrue(wire.paused)
        self.assertEqual(wire.value(), b"")
        wire.send(form.body[50:])
        held.release()
        self.assertFalse(wire.paused)
        self.assertTrue(wire.value().startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Created"))
        self.assert_nothing_left()

    def test_the_answer_may_be_no_after_all(self) -> None:
        held = self.controller.hold("authenticate")
        wire = self.wire()
        wire.send(self.head("dead", Expect="100-continue"))
        wire.send(b"x" * 50_000)
        held.release()
        self.assertFalse(wire.paused)
        self.assertNotIn(b"100 Continue", wire.value())
        self.assert_problem(wire.response(), 401, "not-logged-in")

    def test_a_client_that_leaves_while_its_token_is_looked_up(self) -> None:
        held = self.controller.hold("authenticate")
        wire = self.wire()
        wire.send(self.head())
        wire.hang_up()
        held.release()
        self.assert_nothing_left()
        self.assertEqual(self.clock.getDelayedCalls(), [])

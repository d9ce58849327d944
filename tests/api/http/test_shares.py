"""Slow requests of one user leave the others their share of descriptors and of requests under way."""

from __future__ import annotations

from twisted.internet.defer import fail

from dpip.api.http.limits import HttpLimits
from dpip.errors import TooMany
from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture
from tests.api.wire import Wire


class SharesTests(ApiTest):
    """Four further files may be open, and four requests with a body under way."""

    limits = HttpLimits(more_files=4, bodies=4)

    def sent(self, data: bytes) -> Wire:
        wire = Wire(self.site)
        wire.send(data)
        return wire

    def upload_of(self, count: int, token: str) -> bytes:
        """A whole upload of so many files, to a workload of the user."""
        form = Form().field("workload_id", self.workload)
        for number in range(count):
            form.file("data", f"{number}.png", picture(shade=number))
        named = {"Content-Type": form.content_type, "Authorization": f"Bearer {token}"}
        return request_bytes("POST", "/images", named, form.body)

    def begun_body(self, token: str) -> bytes:
        """A request whose body does not end."""
        named = {
            "Content-Type": "application/json",
            "Content-Length": "9",
            "Authorization": f"Bearer {token}",
        }
        return request_bytes("POST", "/workloads", named) + b"{"

    def setUp(self) -> None:
        super().setUp()
        self.workload = self.stored_workload()

    def test_slow_requests_of_several_files_leave_another_user_its_share_of_them(self) -> None:
        slow = [self.sent(self.upload_of(3, self.user)[:-40]) for _ in range(2)]
        self.assert_problem(self.sent(self.upload_of(2, self.user)).response(), 503, "busy")
        self.assertEqual(self.sent(self.upload_of(3, self.admin)).response().status, 201)
        self.assert_problem(self.sent(self.upload_of(4, self.admin)).response(), 503, "busy")
        for wire in slow:
            wire.hang_up()
        self.assertEqual(self.sent(self.upload_of(5, self.user)).response().status, 201)
        self.assert_nothing_left()

    def test_slow_requests_leave_another_user_its_share_of_requests(self) -> None:
        slow = [self.sent(self.begun_body(self.user)) for _ in range(4)]
        for more in (self.begun_body(self.user), self.upload_of(1, self.user)):
            self.assert_problem(self.sent(more).response(), 503, "busy")
        self.assertEqual(self.uploads_under_way(), 0)
        self.assertEqual(self.sent(self.upload_of(1, self.admin)).response().status, 201)
        for wire in slow:
            wire.hang_up()
        self.assertEqual(self.sent(self.upload_of(1, self.user)).response().status, 201)

    def test_what_is_refused_for_its_type_or_length_holds_nothing(self) -> None:
        for _ in range(5):
            named = {"Content-Type": "text/plain", "Content-Length": "9"}
            named["Authorization"] = f"Bearer {self.user}"
            self.assert_problem(
                self.sent(request_bytes("POST", "/workloads", named)).response(),
                415,
                "unsupported-media-type",
            )
        self.assertEqual(self.sent(self.upload_of(1, self.user)).response().status, 201)


class LargeAnswersTests(ApiTest):
    """Answers beyond 100 bytes are written as they are read; 1500 bytes may be unread, 600 of each user."""

    limits = HttpLimits(large_answer=100, large_answers=1500, large_answers_each=600, stall_seconds=60)

    def asked(self, token: str, room: int | None = None) -> Wire:
        wire = Wire(self.site)
        wire.room = room
        named = {"Authorization": f"Bearer {token}"}
        wire.send(request_bytes("GET", f"/workloads/{self.workload}", named))
        return wire

    def setUp(self) -> None:
        super().setUp()
        self.workload = self.stored_workload()
        self.size = len(self.asked(self.user).response().body)
        self.assertTrue(400 < self.size < 1500, self.size)

    def test_a_user_who_does_not_read_leaves_others_theirs(self) -> None:
        unread = [self.asked(self.user, room=1) for _ in range(1500 // self.size)]
        self.assert_problem(self.asked(self.user).response(), 503, "busy")
        self.assertEqual(self.asked(self.admin).response().status, 200)
        for wire in unread:
            wire.hang_up()
        self.assertEqual(self.asked(self.user).response().status, 200)
        self.assert_nothing_left()

    def test_who_takes_nothing_for_long_is_dropped_and_holds_nothing(self) -> None:
        unread = [self.asked(self.user, room=1) for _ in range(1500 // self.size)]
        self.clock.advance(60)
        self.assertEqual([wire.connected for wire in unread], [False] * len(unread))
        self.assertEqual(self.asked(self.user).response().status, 200)

    def test_head_has_the_length_and_no_body(self) -> None:
        wire = Wire(self.site)
        named = {"Authorization": f"Bearer {self.user}"}
        wire.send(request_bytes("HEAD", f"/workloads/{self.workload}", named))
        head, body = wire.value().split(b"\r\n\r\n")
        self.assertIn(b"Content-Length: %d" % self.size, head)
        self.assertEqual(body, b"")


class SmallBodiesTests(ApiTest):
    limits = HttpLimits(small_bodies=1000, small_body=500)

    def begun(self, token: str, size: int) -> Wire:
        named = {"Content-Type": "application/json", "Content-Length": "500"}
        wire = Wire(self.site)
        wire.send(request_bytes("POST", "/workloads", {**named, "Authorization": f"Bearer {token}"}))
        wire.send(b" " * size)
        return wire

    def test_bodies_of_one_user_that_do_not_end_leave_others_room(self) -> None:
        slow = [self.begun(self.user, 490) for _ in range(2)]
        self.assert_problem(self.begun(self.user, 400).response(), 503, "busy")
        other = self.begun(self.admin, 482)
        other.send(b'{"filter": "blur"}')
        self.assertEqual(other.response().status, 201)
        for wire in slow:
            wire.hang_up()
        self.assertEqual(self.begun(self.user, 490).value(), b"")


class ArchivesTests(ApiTest):
    limits = HttpLimits(archives=2)

    def asked(self, token: str, room: int | None = None) -> Wire:
        wire = Wire(self.site)
        wire.room = room
        named = {"Authorization": f"Bearer {token}"}
        wire.send(request_bytes("GET", f"/workloads/{self.workload}/archive?type=original", named))
        return wire

    def test_a_user_has_some_on_their_way_at_once(self) -> None:
        self.workload = self.stored_workload()
        form = Form().field("workload_id", self.workload).file("data", "a.png", picture())
        named = {"Content-Type": form.content_type, "Authorization": f"Bearer {self.user}"}
        Wire(self.site).send(request_bytes("POST", "/images", named, form.body))
        unread = [self.asked(self.user, room=1) for _ in range(2)]
        self.assert_problem(self.asked(self.user).response(), 429, "too-many-requests")
        self.assertTrue(self.asked(self.admin).value().startswith(b"HTTP/1.1 200"))
        for wire in unread:
            wire.hang_up()
        self.assertTrue(self.asked(self.user).value().startswith(b"HTTP/1.1 200"))


class LateRefusalsTests(ApiTest):
    """A user with quota 0, who asks as fast as there are answers."""

    def refused_at(self, wire: Wire, request: bytes) -> float:
        """When the request is refused, in seconds from now."""
        began = self.clock.seconds()
        wire.send(request)
        while not wire.value():
            self.clock.advance(0.05)
        self.assert_problem(wire.response(), 413, "quota-exceeded")
        return self.clock.seconds() - began

    def setUp(self) -> None:
        super().setUp()
        self.new_user("mallory", 0)
        mallory = self.token_of("mallory", "password-of-mallory")
        named = {"Content-Type": Form().content_type, "Authorization": f"Bearer {mallory}"}
        self.request_of_mallory = request_bytes("POST", "/images", {**named, "Content-Length": "500"})

    def test_after_the_first_ones_each_refusal_comes_a_little_later(self) -> None:
        for _ in range(50):
            self.assertEqual(self.refused_at(Wire(self.site), self.request_of_mallory), 0)
        seconds = sum(self.refused_at(Wire(self.site), self.request_of_mallory) for _ in range(20))
        self.assertAlmostEqual(seconds, 2.0, delta=0.2)

    def test_others_do_not_wait_and_who_leaves_is_forgotten(self) -> None:
        for _ in range(60):
            Wire(self.site).send(self.request_of_mallory)
        workload = self.stored_workload()
        form = Form().field("workload_id", workload).file("data", "a.png", picture())
        wire = Wire(self.site)
        named = {"Content-Type": form.content_type, "Authorization": f"Bearer {self.user}"}
        wire.send(request_bytes("POST", "/images", named, form.body))
        self.assertEqual(wire.response().status, 201)
        self.clock.advance(60)
        self.assert_nothing_left()

    def test_it_is_so_for_what_is_refused_after_the_body_too(self) -> None:
        refused = TooMany("You have enough of them.")
        self.patch(self.controller, "create_workload", lambda *_: fail(refused))
        named = {"Content-Type": "application/json", "Authorization": f"Bearer {self.user}"}
        request = request_bytes("POST", "/workloads", named, b'{"filter": "blur"}')
        wires = [Wire(self.site) for _ in range(60)]
        for wire in wires:
            wire.send(request)
        self.assertEqual(sum(bool(wire.value()) for wire in wires), 50)
        self.clock.advance(0.55)
        self.assertEqual(sum(bool(wire.value()) for wire in wires), 55)
        self.clock.advance(1)
        self.assert_problem(wires[-1].response(), 409, "too-many")

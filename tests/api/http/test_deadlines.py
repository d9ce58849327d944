"""Connections and bodies that do not come along."""

from __future__ import annotations

from twisted.internet.base import DelayedCall

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, noise
from tests.api.wire import Wire


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


class DeadlineTests(ApiTest):
    def wire(self) -> Wire:
        return Wire(self.site)

    def upload_head(self, length: int | None = 10**6) -> bytes:
        named = {"Content-Type": Form().content_type, "Authorization": f"Bearer {self.user}"}
        named |= {"Transfer-Encoding": "chunked"} if length is None else {"Content-Length": str(length)}
        return request_bytes("POST", "/images", named)

    def test_a_connection_that_says_nothing(self) -> None:
        wire = self.wire()
        self.clock.advance(self.limits.idle_seconds - 1)
        self.assertTrue(wire.connected)
        self.clock.advance(1)
        self.assertFalse(wire.connected)
        self.assertEqual(wire.value(), b"")

    def test_headers_byte_by_byte(self) -> None:
        wire = self.wire()
        wire.send(b"GET /healthz HTTP/1.1\r\nX: ")
        for _ in range(int(self.limits.header_seconds) - 1):
            self.clock.advance(1)
            wire.send(b"x")
        self.assertEqual(wire.value(), b"")
        self.clock.advance(1)
        self.assert_problem(wire.response(), 408, "too-slow")
        self.assertTrue(wire.half_closed)
        self.clock.advance(self.limits.linger_seconds)
        self.assertFalse(wire.connected)

    def test_the_time_begins_anew_with_each_request(self) -> None:
        wire = self.wire()
        for _ in range(3):
            self.clock.advance(self.limits.idle_seconds - 1)
            wire.send(b"GET /healthz HTTP/1.1\r\n")
            self.clock.advance(self.limits.header_seconds - 1)
            wire.send(b"Host: x\r\n\r\n")
            self.assertEqual(wire.response().status, 200)

    def test_no_deadline_is_made_sooner(self) -> None:
        """Twisted looks for such a one among those of all connections: with thousands, that is most of what a
        request costs."""
        sooner: list[float] = []
        reset = DelayedCall.reset

        def watched(call: DelayedCall, seconds: float) -> None:
            if self.clock.seconds() + seconds < call.getTime():
                sooner.append(seconds)
            reset(call, seconds)

        self.patch(DelayedCall, "reset", watched)
        wire = self.wire()
        for _ in range(2):
            wire.send(b"GET /healthz HTTP/1.1\r\n")
            wire.send(b"Host: x\r\n\r\n")
            self.assertEqual(wire.response().status, 200)
        self.assertEqual(sooner, [])

    def test_no_time_runs_while_the_request_is_answered(self) -> None:
        held = self.controller.hold("workloads")
        wire = self.wire()
        wire.send(request_bytes("GET", "/workloads", {"Authorization": f"Bearer {self.user}"}))
        self.clock.advance(10_000)
        held.release()
        self.assertEqual(wire.response().status, 200)

    def test_a_body_below_the_minimum_rate(self) -> None:
        wire = self.wire()
        wire.send(self.upload_head())
        for byte in b"--fronti":
            self.clock.advance(1)
            wire.send(bytes([byte]))
        self.assertEqual(wire.value(), b"")
        self.clock.advance(2)
        self.assert_problem(wire.response(), 408, "too-slow")
        self.assert_nothing_left()

    def test_a_body_at_the_minimum_rate_and_then_below(self) -> None:
        wire = self.wire()
        wire.send(self.upload_head())
        wire.send(Form().boundary.encode().join([b"--", b"\r\n"]))
        wire.send(b'Content-Disposition: form-data; name="data"\r\n\r\n')
        for _ in range(5):
            wire.send(b"x" * self.limits.pace_bytes)
            self.clock.advance(self.limits.pace_seconds)
            self.assertEqual(wire.value(), b"")
        wire.send(b"x" * (self.limits.pace_bytes - 1))
        self.clock.advance(self.limits.pace_seconds)
        self.assert_problem(wire.response(), 408, "too-slow")
        self.assert_nothing_left()

    def test_a_body_that_takes_too_long_in_all(self) -> None:
        wire = self.wire()
        wire.send(self.upload_head(None))
        wire.send(chunk(b"--" + Form().boundary.encode() + b"\r\n"))
        wire.send(chunk(b'Content-Disposition: form-data; name="data"\r\n\r\n'))
        for _ in range(int(self.limits.body_seconds / self.limits.pace_seconds)):
            wire.send(chunk(b"x" * self.limits.pace_bytes))
            self.clock.advance(self.limits.pace_seconds)
        self.assertEqual(wire.value(), b"")
        wire.send(chunk(b"x" * self.limits.pace_bytes))
        self.clock.advance(self.limits.pace_seconds)
        self.assert_problem(wire.response(), 408, "too-slow")
        self.assert_nothing_left()

    def test_a_body_that_cannot_end_in_time_is_refused_as_soon_as_that_is_seen(self) -> None:
        length = 2 * self.limits.pace_bytes * int(self.limits.body_seconds / self.limits.pace_seconds)
        wire = self.wire()
        wire.send(self.upload_head(length))
        wire.send(b"--" + Form().boundary.encode() + b"\r\n")
        wire.send(b'Content-Disposition: form-data; name="data"\r\n\r\n')
        wire.send(b"x" * 6 * self.limits.pace_bytes)  # ahead of its time, it may be slower for a while
        for _ in range(4):
            self.clock.advance(self.limits.pace_seconds)
            self.assertEqual(wire.value(), b"")
            wire.send(b"x" * self.limits.pace_bytes)
        self.clock.advance(self.limits.pace_seconds)
        self.assertEqual(wire.value(), b"")
        wire.send(b"x" * self.limits.pace_bytes)
        self.clock.advance(self.limits.pace_seconds)
        response = wire.response()
        self.assert_problem(response, 408, "too-slow")
        self.assertIn(str(length), response.json()["detail"])
        self.assert_nothing_left()

    def test_a_complete_body_is_watched_no_more(self) -> None:
        held = self.controller.hold("check_upload")
        form = Form().field("workload_id", "w").file("data", "a.png", noise(30_000))
        wire = self.wire()
        wire.send(self.upload_head(len(form.body)) + form.body)
        self.clock.advance(10_000)
        held.release()
        self.assert_problem(wire.response(), 404, "not-found")
        self.assertTrue(wire.connected)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)  # the idle time of the connection
        wire.hang_up()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_download_that_is_not_read(self) -> None:
        workload = self.stored_workload(noise(500_000))
        wire = self.wire()
        named = {"Authorization": f"Bearer {self.user}"}
        wire.room = 100_000
        wire.send(request_bytes("GET", f"/images/0?type=original&workload_id={workload}", named))
        self.assertNotEqual(self.open_files(), [])
        self.clock.advance(self.limits.stall_seconds - 1)
        self.assertTrue(wire.connected)
        self.clock.advance(1)
        self.assertTrue(wire.aborted)
        self.assertEqual(self.open_files(), [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_download_that_is_read_slowly(self) -> None:
        data = noise(500_000)
        workload = self.stored_workload(data)
        wire = self.wire()
        wire.room = 100_000
        named = {"Authorization": f"Bearer {self.user}"}
        wire.send(request_bytes("GET", f"/images/0?type=original&workload_id={workload}", named))
        while self.open_files():
            self.clock.advance(self.limits.stall_seconds - 1)
            wire.room = len(wire.value()) + 100_000
            wire.channel.resumeProducing()
        self.assertEqual(wire.response().body, data)
        self.assertTrue(wire.connected)

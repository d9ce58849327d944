"""What an upload of 50 MiB costs: its bytes go through, and do not stay."""

from __future__ import annotations

import tracemalloc

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest
from tests.api.wire import Wire

MIB = 1024 * 1024
PIECE = 64 * 1024  # what the kernel gives the reactor at a time


class MemoryTests(ApiTest):
    def test_an_upload_is_streamed(self) -> None:
        form = Form().file("data", "large.png", b"")
        begin, end = form.body.split(b"\r\n\r\n\r\n")
        named = {
            "Authorization": f"Bearer {self.user}",
            "Content-Type": form.content_type,
            "Content-Length": str(len(begin) + 4 + 50 * MIB + 2 + len(end)),
        }
        wire = Wire(self.site)
        piece = bytes(PIECE)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        wire.send(request_bytes("POST", "/images", named) + begin + b"\r\n\r\n")
        for _ in range(50 * MIB // PIECE):
            wire.send(piece)
        wire.send(b"\r\n" + end)
        _, peak = tracemalloc.get_traced_memory()
        self.assert_problem(wire.response(), 422, "bad-parameter")  # it named no workload
        self.assertLess(peak, MIB)
        self.assert_nothing_left()

    def test_a_refused_upload_too(self) -> None:
        wire = Wire(self.site)
        named = {"Content-Type": Form().content_type, "Content-Length": str(50 * MIB)}
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        wire.send(request_bytes("POST", "/images", named))
        for _ in range(16 * MIB // PIECE):
            wire.send(bytes(PIECE))
        _, peak = tracemalloc.get_traced_memory()
        self.assert_problem(wire.response(), 401, "not-logged-in")
        self.assertLess(peak, MIB)

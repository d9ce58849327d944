"""Requests with random damage: whatever comes, an answer below 500 or none, and nothing stays behind."""

from __future__ import annotations

import re

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture
from tests.api.wire import Wire

Edit = tuple[float, int, bytes]

PIECES = [
    *(b"\r\n", b"\n", b"\r", b"\0", b" ", b":", b";", b"--", b"\xff", b"%", b"9999999999", b"-1"),
    *(b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n"),
    *(b"Range: bytes=0-\r\n", b"Idempotency-Key: k\r\n", b"Connection: close\r\n"),
]

#: Where (as a share of the whole), how many bytes go, and what comes instead.
edits = st.lists(
    st.tuples(
        st.floats(0, 1),
        st.integers(0, 30),
        st.one_of(
            st.binary(max_size=10),
            st.sampled_from(PIECES),
        ),
    ),
    max_size=4,
)
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")

_OWN_PASSWORD = b'{"password": "password-of-ann", "old_password": "password-of-ann"}'


def damaged(data: bytes, edits: list[Edit]) -> bytes:
    for where, gone, instead in edits:
        place = int(where * len(data))
        data = data[:place] + instead + data[place + gone :]
    return data


class HostileBytesTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        workload = self.stored_workload(picture())
        token = {"Authorization": f"Bearer {self.user}"}
        form = Form().field("workload_id", workload).file("data", "a.png", picture())
        upload = {**token, "Content-Type": form.content_type}
        text = {**token, "Content-Type": "application/json"}
        chunked = {**upload, "Transfer-Encoding": "chunked"}
        chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(form.body), form.body)
        query = {**token, "Content-Type": "application/x-www-form-urlencoded", "Range": "bytes=1-20"}
        fields = f"workload_id={workload}&type=original".encode()
        self.requests = [
            request_bytes("POST", "/images", upload, form.body),
            request_bytes("POST", "/images", chunked) + chunks,
            request_bytes("POST", "/workloads", text, b'{"filter": "blur", "params": {"sigma": 2}}'),
            request_bytes("GET", "/images/0", query, fields),
            request_bytes("GET", f"/workloads/{workload}?after=1&limit=5", token),
            request_bytes("PUT", "/users/ann/password", text, _OWN_PASSWORD),
        ]

    @settings(deadline=None, derandomize=True, max_examples=300)
    @given(st.integers(0, 5), edits, st.lists(st.floats(0, 1), max_size=3))
    def test_no_damage_is_our_fault(self, which: int, edits: list[Edit], cuts: list[float]) -> None:
        data = damaged(self.requests[which], edits)
        places = sorted(int(cut * len(data)) for cut in cuts)
        wire = Wire(self.site)
        for start, stop in zip([0, *places], [*places, len(data)], strict=True):
            if wire.connected:
                wire.send(data[start:stop])
        for status in _STATUS.findall(wire.value()):
            self.assertLess(int(status), 500, wire.value())
        wire.hang_up()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.assert_nothing_left()
        self.assertEqual(self.clock.getDelayedCalls(), [])

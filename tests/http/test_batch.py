"""The form of a batch: however its bytes arrive, and whatever is wrong with it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from dpip.http.batch import MAX_LIST, ArrivingBatch, BadBatch, BatchBody, BatchReader, list_head


def answered(*pictures: bytes | None) -> bytes:
    listed = [{"status": 404} if one is None else {"status": 200, "size": len(one)} for one in pictures]
    return list_head(json.dumps(listed).encode()) + b"".join(filter(None, pictures))


class BatchFormTests(SynchronousTestCase):
    def pictures(self, body: bytes, count: int, *cuts: int) -> Sequence[bytes | None]:
        arriving = ArrivingBatch()
        for start, end in zip((0, *sorted(cuts)), (*sorted(cuts), len(body)), strict=True):
            arriving.write(body[start:end])
        return [data for _, data in arriving.pictures(count)]

    @given(st.lists(st.none() | st.binary(max_size=9), max_size=5), st.lists(st.integers(0, 200), max_size=6))
    @settings(max_examples=60, deadline=None)
    def test_it_arrives_in_whatever_pieces(
        self, pictures: Sequence[bytes | None], cuts: Sequence[int]
    ) -> None:
        body = answered(*pictures)
        cuts = [min(cut, len(body)) for cut in cuts]
        self.assertEqual(self.pictures(body, len(pictures), *cuts), pictures)

    def test_a_body_is_what_a_reader_reads(self) -> None:
        sent, got = BytesIO(), [bytearray(), bytearray()]
        body = BatchBody(b"the list", [b"one", b"two"])
        self.successResultOf(body.startProducing(sent))  # type: ignore[arg-type]
        self.assertEqual(len(sent.getvalue()), body.length)
        reader = BatchReader(
            lambda data: [3, 3] if data == b"the list" else [], lambda place, data: got[place].extend(data)
        )
        reader.write(sent.getvalue())
        reader.end()
        self.assertEqual(got, [b"one", b"two"])

    def test_what_is_no_whole_batch_is_told(self) -> None:
        good = answered(b"picture", b"another")
        listed = [b'{"status": 200}', b"[1]", b'[{"status": 200}]', b"no JSON", b'[{"size": 3}]']
        negative = list_head(b'[{"status": 200, "size": -1}]')
        for body in (b"", good[:3], good[:20], good[:-1], good + b"x", negative, *map(list_head, listed)):
            with self.subTest(body=body):
                self.assertRaises(BadBatch, self.pictures, body, 2)
        self.assertRaises(BadBatch, self.pictures, good, 3)

    def test_a_list_is_bounded_before_it_has_come(self) -> None:
        reader = BatchReader(lambda data: [], lambda place, data: None)
        self.assertRaises(BadBatch, reader.write, (MAX_LIST + 1).to_bytes(4, "big"))

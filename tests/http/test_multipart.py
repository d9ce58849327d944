"""Multipart bodies: what they are, and how they are read from disk."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.http.multipart import FilePart, MultipartBody

DATA = b"\x89PNG" + bytes(200_000)


class KeptPieces:
    """A consumer that keeps what it is given, as it was given."""

    def __init__(self) -> None:
        self.pieces: list[bytes] = []

    def write(self, data: bytes) -> None:
        self.pieces.append(data)


class MultipartBodyTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.path = Path(self.enterContext(tempfile.TemporaryDirectory())) / "a.png"
        self.path.write_bytes(DATA)
        self.files = [FilePart(self.path, 'a "b"\r\n.png', "image/png"), FilePart(b"GIF", "b", "image/gif")]

    def body(self, piece: int = 2**17, **options: Any) -> MultipartBody:
        return MultipartBody({"workload_id": "w1"}, self.files, self.clock, piece, **options)

    def sent(self, body: MultipartBody) -> list[bytes]:
        consumer = KeptPieces()
        done = body.startProducing(consumer)  # type: ignore[arg-type]
        while self.clock.getDelayedCalls():
            self.clock.advance(0)
        self.successResultOf(done)
        return consumer.pieces

    def test_fields_come_first_and_names_are_escaped_as_browsers_do(self) -> None:
        body = self.body()
        boundary = body.content_type.partition("multipart/form-data; boundary=")[2].encode()
        expected = (
            b'--B\r\nContent-Disposition: form-data; name="workload_id"\r\n\r\nw1\r\n'
            b'--B\r\nContent-Disposition: form-data; name="data"; filename="a %22b%22%0D%0A.png"\r\n'
            b"Content-Type: image/png\r\n\r\n" + DATA + b"\r\n"
            b'--B\r\nContent-Disposition: form-data; name="data"; filename="b"\r\n'
            b"Content-Type: image/gif\r\n\r\nGIF\r\n--B--\r\n"
        )
        self.assertEqual(b"".join(self.sent(body)), expected.replace(b"--B", b"--" + boundary))

    def test_it_is_read_in_pieces_and_as_long_as_it_says(self) -> None:
        moved: list[int] = []
        body = self.body(moved=lambda: moved.append(1))
        pieces = self.sent(body)
        self.assertEqual(sum(map(len, pieces)), body.length)
        self.assertEqual([len(piece) for piece in pieces], [2**17, body.length - 2**17])
        self.assertGreater(len(moved), 2)

    def test_one_piece_can_be_sent_at_once(self) -> None:
        self.assertEqual(len(self.sent(self.body(piece=2**18))), 1)
        consumer = KeptPieces()
        body = self.body(piece=2**18, at_once=True)
        self.successResultOf(body.startProducing(consumer))  # type: ignore[arg-type]
        self.assertEqual([len(piece) for piece in consumer.pieces], [body.length])
        self.assertEqual(len(self.sent(self.body(at_once=True))), 2)

    def test_a_file_that_is_not_there_is_told_before_anything_is_sent(self) -> None:
        self.path.unlink()
        self.assertRaises(FileNotFoundError, self.body)

    def test_a_consumer_that_is_full_makes_it_wait_and_one_that_is_gone_ends_it(self) -> None:
        body = self.body(piece=2**16)
        body.stopProducing()  # as a connection does that is lost before the start

        class FullConsumer(KeptPieces):
            def write(self, data: bytes) -> None:
                super().write(data)
                body.pauseProducing()

        consumer = FullConsumer()
        done = body.startProducing(consumer)  # type: ignore[arg-type]
        self.clock.advance(0)
        self.assertEqual((len(consumer.pieces), self.clock.getDelayedCalls()), (1, []))
        body.resumeProducing()
        self.clock.advance(0)
        self.assertEqual(len(consumer.pieces), 2)
        body.stopProducing()
        self.clock.advance(0)
        self.assertEqual((len(consumer.pieces), self.clock.getDelayedCalls()), (2, []))
        self.assertNoResult(done)

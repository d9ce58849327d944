"""Bodies of responses on their way into files and memory."""

from __future__ import annotations

import io
from errno import ENOSPC
from hashlib import sha256
from typing import Any

from twisted.internet.defer import CancelledError
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss

from dpip.http.receiving import BodyTooLarge, HashedFile, receive


class Body:
    """A response whose body the test delivers."""

    def __init__(self) -> None:
        self.transport = StringTransport()

    def deliverBody(self, protocol: Protocol) -> None:
        self.protocol: Any = protocol
        protocol.makeConnection(self.transport)

    def end(self, reason: Exception) -> None:
        self.protocol.connectionLost(Failure(reason))


class ReceiveTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.body = Body()
        self.pieces: list[bytes] = []

    def receive(self, *limits: Any, **options: Any) -> Any:
        return receive(self.body, self.pieces.append, *limits, **options)  # type: ignore[arg-type]

    def test_every_piece_is_written_and_told(self) -> None:
        for reason in (ResponseDone(), PotentialDataLoss()):
            moved: list[int] = []
            done = self.receive(2, moved=lambda moved=moved: moved.append(1))
            for piece in (b"a", b"b"):
                self.body.protocol.dataReceived(piece)
            self.assertNoResult(done)
            self.body.end(reason)
            self.successResultOf(done)
            self.assertEqual(moved, [1, 1])
        self.assertEqual(self.pieces, [b"a", b"b"] * 2)

    def test_what_is_larger_than_it_may_be_ends_it(self) -> None:
        done = self.receive(3)
        for piece in (b"ab", b"cd", b"ef"):
            self.body.protocol.dataReceived(piece)
        self.assertNoResult(done)
        self.body.end(ConnectionLost())
        self.failureResultOf(done, BodyTooLarge)
        self.assertEqual((self.pieces, self.body.transport.disconnecting), ([b"ab"], True))

    def test_what_the_writing_raises_ends_it(self) -> None:
        def full(data: bytes) -> None:
            raise OSError(ENOSPC, "full")

        done = receive(self.body, full)  # type: ignore[arg-type]
        self.body.protocol.dataReceived(b"x")
        self.assertTrue(self.body.transport.disconnecting)
        self.body.end(ResponseDone())
        self.failureResultOf(done, OSError)

    def test_a_broken_connection_is_told(self) -> None:
        done = self.receive()
        self.body.end(ConnectionLost())
        self.failureResultOf(done, ConnectionLost)

    def test_giving_up_closes_the_connection(self) -> None:
        done = self.receive()
        done.cancel()
        self.failureResultOf(done, CancelledError)
        self.body.protocol.dataReceived(b"late")
        self.body.end(ResponseDone())
        self.assertEqual((self.pieces, self.body.transport.disconnecting), ([], True))


class ShortFile(io.BytesIO):
    """As an unbuffered file on a disk that becomes full."""

    def write(self, data: Any) -> int:
        return super().write(data[:2])


class HashedFileTests(SynchronousTestCase):
    def test_it_knows_what_was_written(self) -> None:
        with HashedFile(io.BytesIO()) as file:
            file.write(b"ab")
            file.write(b"c")
        self.assertEqual((file.size, file.sha256), (3, sha256(b"abc").hexdigest()))

    def test_a_disk_that_takes_a_part_only_is_full(self) -> None:
        with HashedFile(ShortFile()) as file:
            file.write(b"ab")
            error = self.assertRaises(OSError, file.write, b"abc")
        self.assertEqual(error.errno, ENOSPC)

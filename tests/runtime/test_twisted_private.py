"""The private names of Twisted that we use: each is there, and means what we take it for."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.protocol import Factory
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import TestCase
from twisted.web import _newclient, http
from twisted.web.client import FileBodyProducer
from twisted.web.http_headers import Headers

from dpip.runtime.twisted_private import ClientRequest, HookedChannel, WrongBodyLength

HEAD = b"PUT /there?x=1 HTTP/1.1\r\nHost: a\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"


class Told(http.Request):
    """Writes down what it is told."""

    def gotLength(self, length: int | None) -> None:
        super().gotLength(length)
        self.channel.events.append(("headers", length, self.channel.request_line()))

    def handleContentChunk(self, data: bytes) -> None:
        self.channel.events.append(("content", data))

    def process(self) -> None:
        self.channel.events.append(("complete",))


class TellingChannel(HookedChannel):
    requestFactory = Told
    takes_trailers = True

    def __init__(self) -> None:
        super().__init__()
        self.events: list[tuple[Any, ...]] = []

    def malformed(self) -> None:
        self.events.append(("malformed",))

    def accepts_trailers(self, lines: Iterable[bytes]) -> bool:
        self.events.append(("trailers", [bytes(line) for line in lines]))
        return self.takes_trailers


class HookedChannelTests(TestCase):
    """``HTTPChannel``: ``_command``, ``_path``, ``_version``, ``_transferDecoder``, ``_finishRequestBody``,
    ``_respondToBadRequestAndDisconnect``; and ``_ChunkedTransferDecoder._trailerHeaders``."""

    def heard(self, data: bytes, channel: TellingChannel | None = None) -> list[tuple[Any, ...]]:
        channel = channel or TellingChannel()
        channel.makeConnection(StringTransport())
        channel.setTimeout(None)
        channel.dataReceived(data)
        return channel.events

    def test_the_request_line_is_known_before_the_body_has_come(self) -> None:
        events = self.heard(HEAD + b"Content-Length: 3\r\n\r\n")
        self.assertEqual(events, [("headers", 3, (b"PUT", b"/there?x=1", b"HTTP/1.1"))])

    def test_a_body_of_known_length_ends_without_trailers(self) -> None:
        events = self.heard(HEAD + b"Content-Length: 3\r\n\r\nabc")
        self.assertEqual(events[1:], [("content", b"abc"), ("trailers", []), ("complete",)])

    def test_lines_after_the_last_chunk_are_trailers(self) -> None:
        events = self.heard(CHUNKED + b"A: b\r\nno colon\r\n\r\n")
        self.assertEqual(
            events[1:], [("content", b"abc"), ("trailers", [b"A: b", b"no colon"]), ("complete",)]
        )

    def test_a_body_whose_trailers_are_not_accepted_goes_no_further(self) -> None:
        channel = TellingChannel()
        channel.takes_trailers = False
        self.assertEqual(self.heard(CHUNKED + b"no colon\r\n\r\n", channel)[-1], ("trailers", [b"no colon"]))

    def test_every_malformed_request_comes_to_the_hook(self) -> None:
        for data in (
            b"GET\r\n",
            HEAD + b"no colon\r\n\r\n",
            HEAD + b"Content-Length: x\r\n\r\n",
            HEAD + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
            HEAD + b"Transfer-Encoding: chunked\r\n\r\nno number\r\n",
            HEAD + b"A: b\r\n" * 501 + b"\r\n",
        ):
            self.assertIn(("malformed",), self.heard(data), data[:100])

    def test_by_default_what_is_malformed_is_answered_with_a_bare_400(self) -> None:
        channel, transport = HookedChannel(), StringTransport()
        channel.makeConnection(transport)
        channel.setTimeout(None)
        channel.dataReceived(b"GET\r\n")
        self.assertEqual(transport.value(), b"HTTP/1.1 400 Bad Request\r\n\r\n")
        self.assertTrue(transport.disconnecting)


class ClientRequestTests(TestCase):
    """``twisted.web._newclient``: ``Request``, ``WrongBodyLength``."""

    def connected(self) -> tuple[_newclient.HTTP11ClientProtocol, StringTransport]:
        """What a connection pool gives."""
        protocol, transport = _newclient.HTTP11ClientProtocol(), StringTransport()
        protocol.factory = Factory()
        protocol.makeConnection(transport)
        return protocol, transport

    def test_a_persistent_request_is_sent_as_it_was_made(self) -> None:
        protocol, transport = self.connected()
        headers = Headers({b"Host": [b"a"]})
        answer = protocol.request(ClientRequest(b"GET", b"/path", headers, None, persistent=True))
        self.assertEqual(transport.value(), b"GET /path HTTP/1.1\r\nHost: a\r\n\r\n")
        protocol.dataReceived(b"HTTP/1.1 204 No Content\r\n\r\n")
        self.assertEqual(self.successResultOf(answer).code, 204)
        self.assertFalse(transport.disconnecting)

    def test_a_body_shorter_than_it_said_fails_with_the_wrong_length(self) -> None:
        protocol, _ = self.connected()
        answer = protocol.request(ClientRequest(b"PUT", b"/", Headers({b"Host": [b"a"]}), Short()))
        failure = self.failureResultOf(answer, _newclient.RequestGenerationFailed)
        self.assertIsInstance(failure.value.reasons[0].value, WrongBodyLength)


class Short(FileBodyProducer):
    """Says that it has ten bytes, and writes none."""

    def __init__(self) -> None:
        self.length = 10

    def startProducing(self, consumer: Any) -> Deferred[None]:
        return succeed(None)

    def stopProducing(self) -> None:
        pass

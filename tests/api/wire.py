"""One connection without a network: what :meth:`Wire.send` gives the server, it has handled on return."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionAborted, ConnectionDone
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.api.client import Response, split_response


@implementer(ITCPTransport)
class Wire(StringTransport):
    """The server's transport. It closes at once when asked to; half closing and aborting are remembered."""

    def __init__(self, site: Any) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "192.0.2.1", 5000))
        self.connected = True
        self.half_closed = False
        self.aborted = False
        self.paused = 0
        self.room: int | None = None  # bytes that are taken before the server is asked to pause
        self.channel = site.buildProtocol(None)
        self.channel.makeConnection(self)

    def write(self, data: bytes) -> None:
        super().write(data)
        if self.room is not None and len(self.value()) >= self.room:
            self.channel.pauseProducing()

    def writeSequence(self, data: Any) -> None:
        self.write(b"".join(data))

    def send(self, data: bytes) -> None:
        assert self.connected, "the server has closed this connection"
        self.channel.dataReceived(data)

    def response(self) -> Response:
        """The next complete answer."""
        response, rest = split_response(self.value())
        assert response is not None, self.value()
        self.clear()
        self.write(rest)
        return response

    def hang_up(self) -> None:
        """The client leaves."""
        self._lose(ConnectionDone())

    def pauseProducing(self) -> None:
        self.paused += 1

    def resumeProducing(self) -> None:
        self.paused = 0

    def loseConnection(self) -> None:
        super().loseConnection()
        self._lose(ConnectionDone())

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def abortConnection(self) -> None:
        self.aborted = True
        self._lose(ConnectionAborted())

    def setTcpNoDelay(self, enabled: Any) -> None:
        """No network, no delay."""

    def getTcpNoDelay(self) -> bool:
        return True

    def setTcpKeepAlive(self, enabled: Any) -> None:
        """No network, nothing to keep alive."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def _lose(self, reason: Exception) -> None:
        if self.connected:
            self.connected = False
            if self.producer is not None:
                self.producer.stopProducing()
            self.channel.connectionLost(Failure(reason))

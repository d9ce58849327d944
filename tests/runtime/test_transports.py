"""What sockets are told."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol, serverFromString, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import optionsForClientTLS
from twisted.trial.unittest import TestCase

from dpip.runtime.transports import keep_alive


class _Kept(Protocol):
    def connectionMade(self) -> None:
        keep_alive(self.transport)


class KeepAliveTests(TestCase):
    async def test_a_silent_peer_is_asked_by_the_kernel_with_tls_and_without(self) -> None:
        factory = Factory.forProtocol(Protocol)
        listening = await serverFromString(reactor, "tcp:0:interface=127.0.0.1").listen(factory)
        self.addCleanup(listening.stopListening)
        plain = TCP4ClientEndpoint(reactor, "127.0.0.1", listening.getHost().port)  # type: ignore[arg-type]
        for endpoint in (plain, wrapClientTLS(optionsForClientTLS("localhost"), plain)):
            protocol: Any = await connectProtocol(endpoint, _Kept())
            below = getattr(protocol.transport, "transport", protocol.transport).socket
            self.assertEqual(below.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE), 1)
            if hasattr(socket, "TCP_KEEPIDLE"):
                self.assertEqual(below.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE), 10)
            gone: Deferred[Any] = Deferred()
            protocol.connectionLost = lambda _, gone=gone: gone.callback(None)
            protocol.transport.abortConnection()
            await gone

    def test_what_has_no_socket_is_left_alone(self) -> None:
        keep_alive(object())

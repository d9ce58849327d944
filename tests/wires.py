"""Two ends of Perspective Broker joined in memory, on a clock that only the test moves."""

from __future__ import annotations

from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from twisted.test.iosim import FakeTransport, IOPump, connect

from dpip.link.broker import Broker, Callee, LinkClientFactory, LinkServerFactory


def address(host: str = "10.0.0.7", port: int = 4711) -> IPv4Address:
    return IPv4Address("TCP", host, port)


class Wire:
    """One connection from a client of ours to a :class:`LinkServerFactory`, ready for calls."""

    def __init__(self, door: LinkServerFactory, clock: Clock, host: str = "10.0.0.7") -> None:
        self.lost: list[Failure] = []
        made: list[Broker] = []
        caller = LinkClientFactory(clock, made.append, lambda _, reason: self.lost.append(reason))
        server: Any = door.buildProtocol(address(host))
        client: Any = caller.buildProtocol(None)
        ours = address("10.0.0.1", 8787)
        self.pump: IOPump = connect(
            server,
            FakeTransport(server, True, ours, address(host)),
            client,
            FakeTransport(client, False, address(host), ours),
            clock=clock,
        )
        self.server: Broker = server
        self.client: Broker = client
        self.made = made

    @property
    def root(self) -> Any:
        return self.client.remoteForName("root")

    def result(self, answer: Deferred[Any]) -> Any:
        """What a call gives once everything has arrived; raises what it fails with."""
        results: list[Any] = []
        answer.addBoth(results.append)
        self.pump.flush()
        assert results, "no answer"
        if isinstance(results[0], Failure):
            results[0].raiseException()
        return results[0]

    def cut(self) -> None:
        """Both ends learn that the connection is gone."""
        self.client.transport.loseConnection()
        self.pump.flush()


class Stranger:
    """Raw bytes into a door, as somebody who is no client of ours sends them."""

    def __init__(self, door: LinkServerFactory, host: str = "10.0.0.7") -> None:
        self.broker: Any = door.buildProtocol(address(host))
        self.transport = FakeTransport(self.broker, True, address("10.0.0.1", 8787), address(host))
        self.broker.makeConnection(self.transport)

    def send(self, data: bytes) -> None:
        self.broker.dataReceived(data)

    @property
    def dropped(self) -> bool:
        return bool(self.transport.disconnecting)


def door_to(target: Callee, clock: Clock) -> LinkServerFactory:
    return LinkServerFactory(lambda _: target, clock)

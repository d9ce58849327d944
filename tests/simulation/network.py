"""A simulated network: TCP as Twisted's own transports know it, over links with latency and with faults.

What a protocol sees is decided by Twisted's ``FileDescriptor`` (buffers, producers, half closing); only the
kernel and the wire below it are ours. A connection has two ends, and a pipe in each direction: bytes arrive
in order, cut into pieces anywhere; each end learns of the other's end by itself, or never.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

from twisted.internet import error, main
from twisted.internet.abstract import FileDescriptor
from twisted.internet.address import IPv4Address
from twisted.internet.base import BaseConnector
from twisted.internet.interfaces import (
    IHalfCloseableProtocol,
    IListeningPort,
    IProtocol,
    IProtocolFactory,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.simulation.clock import Clock

_LEAST_LATENCY = 0.0002
_RETRANSMIT = 0.2
"""Seconds after which what a partition has held back is sent again."""


class Kernel:
    """Of all machines: it never hangs, and lives as long as the simulation."""

    name = "net"
    dead = False
    hung_until = 0.0


class Network:
    """``record(words)`` writes the trace."""

    def __init__(self, clock: Clock, chance: Random, record: Callable[[str], None]) -> None:
        self.clock = clock
        self.chance = chance
        self.record = record
        self.kernel = Kernel()
        self.latency = 0.002
        self.cut: set[frozenset[str]] = set()  # pairs of addresses between which nothing passes
        self.slow: dict[str, float] = {}  # by address: how many times slower
        self.refusing: set[str] = set()  # addresses that refuse new connections
        self.off: set[str] = set()  # addresses of machines without power
        self.ports: dict[tuple[str, int], Port] = {}
        self.ends: dict[End, None] = {}  # all that are open, in the order of their opening
        self._numbers = 0

    def number(self) -> int:
        self._numbers += 1
        return self._numbers

    def delay(self, one: str, other: str) -> float:
        slowness = max(self.slow.get(one, 1.0), self.slow.get(other, 1.0))
        return (_LEAST_LATENCY + self.chance.expovariate(1 / self.latency)) * slowness

    def passes(self, one: str, other: str) -> bool:
        return frozenset((one, other)) not in self.cut

    def heal(self) -> None:
        """All links work again; what was held back arrives."""
        self.cut.clear()
        self.slow.clear()
        self.refusing.clear()
        for end in list(self.ends):
            end.out.retransmit()

    def of(self, address: str) -> list[End]:
        return [end for end in self.ends if end.here.host == address]

    def connect(self, client: Client) -> None:
        """A SYN is on its way."""
        here, there = client.here.host, client.there.host
        self.clock.call(self.kernel, self.delay(here, there), self._arrives, client)

    def _arrives(self, client: Client) -> None:
        here, there = client.here.host, client.there.host
        if client.abandoned:
            return
        if there in self.off or not self.passes(here, there):
            self.clock.call(self.kernel, 1.0, self._arrives, client)  # the SYN is sent again
            return
        port = self.ports.get((there, client.there.port))
        back = self.delay(here, there)
        if port is None or there in self.refusing:
            self.clock.call(client.process, back, client.failIfNotConnected, error.ConnectionRefusedError())
            return
        client.out.established = self.clock.now + back
        server = Server(port.process, self, client, port)
        self.clock.call(port.process, 0.0, server.accept)
        self.clock.call(client.process, back, client.connected_to, server)
        server.out.last = self.clock.now + back  # nothing overtakes the SYN-ACK


class Pipe:
    """One direction of a connection: from ``source`` to the end that ``target`` is."""

    def __init__(self, network: Network, source: End) -> None:
        self.network = network
        self.source = source
        self.target: End | None = None
        self.established = 0.0
        self.last = 0.0  # when the newest piece arrives
        self.in_flight = 0
        self.capacity = network.chance.choice((2048, 65536, 65536, 262144))
        self.silent = False  # whatever is sent vanishes
        self._held: deque[tuple[str, bytes]] = deque()

    @property
    def room(self) -> int:
        return max(0, self.capacity - self.in_flight)

    def send(self, data: bytes) -> None:
        self.in_flight += len(data)
        chance = self.network.chance
        while data:
            size = len(data)
            if size > 1 and chance.random() < 0.25:
                size = chance.randrange(1, size)
            self._push("data", data[:size])
            data = data[size:]

    def close(self) -> None:
        self._push("fin", b"")

    def reset(self) -> None:
        self._push("rst", b"")

    def _push(self, what: str, data: bytes) -> None:
        network = self.network
        delay = network.delay(self.source.here.host, self.source.there.host)
        self.last = max(self.last, self.established, network.clock.now + delay)
        network.clock.call(network.kernel, self.last - network.clock.now, self._arrive, what, data)

    def _arrive(self, what: str, data: bytes) -> None:
        source = self.source
        if self.silent or self.target is None:
            return
        if source.there.host in self.network.off:
            return
        if self._held or not self.network.passes(source.here.host, source.there.host):
            self._held.append((what, data))
            return
        self.target.arrive(what, data)

    def retransmit(self) -> None:
        if self._held:
            self.network.clock.call(self.network.kernel, _RETRANSMIT, self._flush)

    def _flush(self) -> None:
        held, self._held = self._held, deque()
        for what, data in held:
            self._arrive(what, data)

    def read(self, size: int) -> None:
        """The target has read so much: there is room again, once the sender hears of it."""
        self.in_flight -= size
        if self.source.wants_to_write and self.room:
            self.source.wake_writer()


@implementer(ITCPTransport)
class End(FileDescriptor):
    """One end of a connection, as the process sees it."""

    log = Logger()
    protocol: Any = None
    shows = ""  # the serial number of the certificate that this end shows

    def __init__(self, process: Any, network: Network, here: IPv4Address, there: IPv4Address) -> None:
        super().__init__(reactor=process)
        self.process = process
        self.network = network
        self.here = here
        self.there = there
        self.number = network.number()
        self.out = Pipe(network, self)
        self.closed = False
        self.wants_to_write = False
        self._reading = False
        self._received: deque[bytes] = deque()
        self._ended: Any = None  # why nothing more will come
        self._writing = False
        self._delivering = False

    # What Twisted's FileDescriptor asks of its reactor

    def startReading(self) -> None:
        self._reading = True
        if (self._received or self._ended) and not self._delivering:
            self._delivering = True
            self.network.clock.call(self.process, 0.0, self._deliver)

    def stopReading(self) -> None:
        self._reading = False

    def startWriting(self) -> None:
        self.wants_to_write = True
        if self.connected:
            self.wake_writer()

    def stopWriting(self) -> None:
        self.wants_to_write = False

    def wake_writer(self) -> None:
        if not self._writing:
            self._writing = True
            self.network.clock.call(self.process, 0.0, self._write)

    def _write(self) -> None:
        self._writing = False
        if self.wants_to_write and not self.closed:
            self._after(self.doWrite(), reading=False)
            if self.wants_to_write and self.out.room and not self.closed:
                self.wake_writer()

    def _after(self, why: Any, reading: bool) -> None:
        """As a reactor deals with what ``doRead`` and ``doWrite`` say."""
        if why is None or self.closed:
            return
        if reading and why is main.CONNECTION_DONE:
            self.readConnectionLost(Failure(why))
        else:
            self.connectionLost(Failure(why))

    def writeSomeData(self, data: bytes) -> int | BaseException:
        if self._ended is main.CONNECTION_LOST:
            return main.CONNECTION_LOST
        size = min(len(data), self.out.room)
        if size:
            self.network.record(f"{self.process.name} #{self.number} sends {size}")
            self.out.send(bytes(data[:size]))
        return size

    # What the wire brings

    def arrive(self, what: str, data: bytes) -> None:
        if self.closed:
            if what == "data":  # the kernel's answer to bytes for nobody
                self.out.reset()
            return
        if what == "data":
            self._received.append(data)
        elif what == "fin":
            self._ended = self._ended or main.CONNECTION_DONE
        else:
            self._ended = main.CONNECTION_LOST
            self._received.clear()
            self._reading = True
        if self._reading and not self._delivering:
            self._delivering = True
            self.network.clock.call(self.process, 0.0, self._deliver)

    def _deliver(self) -> None:
        self._delivering = False
        if self.closed or not self._reading:
            return
        if self._received:
            pieces = [self._received.popleft()]
            while self._received and self.network.chance.random() < 0.5:
                pieces.append(self._received.popleft())
            data = b"".join(pieces)
            self.network.record(f"{self.process.name} #{self.number} gets {len(data)}")
            self._hand_over(data)
            self.peer_pipe.read(len(data))
        elif self._ended is not None:
            self._after(self._ended, reading=True)
        if self._reading and (self._received or self._ended) and not self._delivering and not self.closed:
            self._delivering = True
            self.network.clock.call(self.process, 0.0, self._deliver)

    def _hand_over(self, data: bytes) -> None:
        """An exception of the protocol costs its connection, as in the real reactor."""
        try:
            self.protocol.dataReceived(data)
        except Exception:  # noqa: BLE001 - as a reactor does
            self.log.failure("A protocol failed")
            self.connectionLost(Failure())

    # The end

    def readConnectionLost(self, reason: Failure) -> None:
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None:
            half.readConnectionLost()
        else:
            self.connectionLost(reason)

    def _closeWriteConnection(self) -> None:
        self.out.close()
        half = IHalfCloseableProtocol(self.protocol, None)
        if half is not None:
            half.writeConnectionLost()

    def connectionLost(self, reason: Failure) -> None:
        if self.closed:
            return
        self.closed = True
        self.network.ends.pop(self, None)
        self.network.record(f"{self.process.name} #{self.number} ends: {type(reason.value).__name__}")
        super().connectionLost(reason)
        self._close_socket(aborted=bool(reason.check(error.ConnectionAborted)))
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(reason)

    def _close_socket(self, aborted: bool) -> None:
        if self._ended is main.CONNECTION_LOST:
            return
        if aborted or self._received:
            self.out.reset()
        else:
            self.out.close()

    def abortConnection(self) -> None:
        if self.disconnected or self.closed:
            return
        self.stopReading()
        self.stopWriting()
        self.process.callLater(0, self.connectionLost, Failure(error.ConnectionAborted()))

    # What becomes of it from outside

    def vanish(self) -> None:
        """Its process is dead: the kernel closes it, unless the power is off."""
        if not self.closed:
            self.closed = True
            self.network.ends.pop(self, None)
            if self.here.host not in self.network.off:
                self.out.reset()

    def break_off(self) -> None:
        """This end alone is told that the connection is broken."""
        self.out.silent = True
        self.peer_pipe.silent = True
        self._ended = main.CONNECTION_LOST
        self._received.clear()
        self.network.clock.call(self.process, 0.0, self._after, main.CONNECTION_LOST, False)

    def go_silent(self) -> None:
        """Nothing passes any more, and nobody is told."""
        self.out.silent = True
        self.peer_pipe.silent = True

    @property
    def peer_pipe(self) -> Pipe:
        assert self.out.target is not None
        return self.out.target.out

    # ITCPTransport

    def getHost(self) -> IPv4Address:
        return self.here

    def getPeer(self) -> IPv4Address:
        return self.there

    def getTcpNoDelay(self) -> bool:
        return False

    def setTcpNoDelay(self, enabled: bool) -> None:
        """The wire has its own mind."""

    def getTcpKeepAlive(self) -> bool:
        return False

    def setTcpKeepAlive(self, enabled: bool) -> None:
        """Nothing here lasts two hours."""

    def _open(self, protocol: IProtocol | None) -> None:
        self.connected = 1
        self.network.ends[self] = None
        self.protocol = protocol if protocol is not None else Protocol()
        if protocol is None:
            self.loseConnection()
            return
        self.startReading()
        self.protocol.makeConnection(self)


class Server(End):
    """The end that was connected to."""

    def __init__(self, process: Any, network: Network, client: Client, port: Port) -> None:
        super().__init__(process, network, client.there, client.here)
        self._factory = port.factory
        self.out.target = client
        client.out.target = self
        network.ends[self] = None

    def accept(self) -> None:
        if self._ended is main.CONNECTION_LOST:
            self.closed = True
            self.network.ends.pop(self, None)
            return
        self.network.record(f"{self.process.name} #{self.number} accepts {self.there.host}")
        self._open(self._factory.buildProtocol(self.there))


class Client(End):
    """The end that connects."""

    def __init__(self, connector: Connector, process: Any, network: Network, there: IPv4Address) -> None:
        here = IPv4Address("TCP", process.address, 40000 + network.number())
        super().__init__(process, network, here, there)
        self.connector: Connector | None = connector
        self.abandoned = False

    def connected_to(self, server: Server) -> None:
        if self.abandoned or self.connector is None:
            return
        self.network.record(f"{self.process.name} #{self.number} connected to {self.there.port}")
        self._open(self.connector.buildProtocol(self.there))

    def failIfNotConnected(self, reason: BaseException) -> None:
        if self.connected or self.disconnected or self.abandoned or self.connector is None:
            return
        self.abandoned = self.closed = True
        if self.out.target is not None:
            self.out.reset()
        self.network.record(f"{self.process.name} not connected: {type(reason).__name__}")
        connector, self.connector = self.connector, None
        connector.connectionFailed(Failure(reason))

    def connectionLost(self, reason: Failure) -> None:
        was_open = not self.closed
        super().connectionLost(reason)
        if was_open and self.connector is not None:
            self.connector.connectionLost(reason)


class Connector(BaseConnector):
    """Twisted's own connector over our wire."""

    def __init__(
        self, process: Any, network: Network, there: IPv4Address, factory: Any, timeout: float
    ) -> None:
        super().__init__(factory, timeout, process)
        self._network = network
        self._there = there

    def _makeTransport(self) -> Any:
        client = Client(self, self.reactor, self._network, self._there)
        self._network.connect(client)
        return client

    def getDestination(self) -> IPv4Address:
        return self._there


@implementer(IListeningPort)
class Port:
    """A listening port."""

    def __init__(self, process: Any, network: Network, here: IPv4Address, factory: IProtocolFactory) -> None:
        self.process = process
        self.factory = factory
        self._network = network
        self._here = here

    def startListening(self) -> None:
        key = self._here.host, self._here.port
        if key in self._network.ports:
            raise error.CannotListenError(*key, OSError("Address already in use"))
        self._network.ports[key] = self
        self.factory.doStart()

    def stopListening(self) -> None:
        if self._network.ports.get((self._here.host, self._here.port)) is self:
            self.vanish()
            self.factory.doStop()

    def vanish(self) -> None:
        self._network.ports.pop((self._here.host, self._here.port), None)

    def getHost(self) -> IPv4Address:
        return self._here

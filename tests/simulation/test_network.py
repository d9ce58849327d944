"""The simulated wire does what TCP does, and its faults what they say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.protocol import ClientFactory, Factory, Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.process import Process
from tests.simulation.world import World

_SERVER, _CLIENT = "10.0.0.1", "10.0.0.2"
_PORT = 80


class Peer(Protocol):
    """Remembers what it got, and how it ended."""

    def __init__(self) -> None:
        self.got = b""
        self.ended = ""

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = type(reason.value).__name__


class Producer:
    """Writes as long as it may."""

    def __init__(self, transport: Any) -> None:
        self.transport = transport
        self.log: list[str] = []
        self.written = 0
        transport.registerProducer(self, True)

    def resumeProducing(self) -> None:
        self.log.append("resume")

    def pauseProducing(self) -> None:
        self.log.append("pause")

    def stopProducing(self) -> None:
        self.log.append("stop")


class Connecting(ClientFactory):
    noisy = False

    def __init__(self) -> None:
        self.failed = ""

    def clientConnectionFailed(self, connector: Any, reason: Failure) -> None:
        self.failed = type(reason.value).__name__


class NetworkTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.world = World(1, Path(self.mktemp()))
        self.server, self.client = self.process("server", _SERVER), self.process("client", _CLIENT)
        self.accepted: list[Peer] = []
        factory = Factory.forProtocol(self.accept)
        factory.noisy = False
        self.port = self.server.listenTCP(_PORT, factory)

    def process(self, name: str, address: str) -> Process:
        machine = self.world.machine(name, address, lambda process: None)
        machine.start()
        assert machine.process is not None
        return machine.process

    def accept(self) -> Peer:
        self.accepted.append(Peer())
        return self.accepted[-1]

    def run_for(self, seconds: float) -> None:
        self.world.clock.run(self.world.clock.now + seconds, lambda: False)

    def connect(self, timeout: float = 5.0) -> Connecting:
        factory = Connecting()
        self.peer = Peer()
        factory.protocol = lambda: self.peer  # type: ignore[assignment]
        self.client.connectTCP(_SERVER, _PORT, factory, timeout=timeout)
        return factory

    def connected(self) -> tuple[Peer, Peer]:
        self.connect()
        self.run_for(1)
        return self.peer, self.accepted[-1]

    def test_bytes_arrive_whole_and_in_order(self) -> None:
        ours, theirs = self.connected()
        sent = b"".join(bytes([n % 251]) * n for n in range(500))
        for start in range(0, len(sent), 1000):
            ours.transport.write(sent[start : start + 1000])
        self.run_for(10)
        self.assertEqual(theirs.got, sent)

    def test_both_ends_hear_of_a_closing(self) -> None:
        ours, theirs = self.connected()
        ours.transport.write(b"bye")
        ours.transport.loseConnection()
        self.run_for(1)
        self.assertEqual((theirs.got, ours.ended, theirs.ended), (b"bye", "ConnectionDone", "ConnectionDone"))
        self.assertEqual(list(self.world.network.ends), [])

    def test_an_abort_is_a_loss_for_the_other_end(self) -> None:
        ours, theirs = self.connected()
        ours.transport.abortConnection()
        self.run_for(1)
        self.assertEqual((ours.ended, theirs.ended), ("ConnectionAborted", "ConnectionLost"))

    def test_a_producer_is_paused_while_nobody_reads(self) -> None:
        ours, theirs = self.connected()
        theirs.transport.pauseProducing()
        producer = Producer(ours.transport)
        for _ in range(10):
            ours.transport.write(b"x" * 100_000)
        self.run_for(10)
        self.assertEqual(producer.log[-1], "pause")
        theirs.transport.resumeProducing()
        self.run_for(10)
        self.assertEqual(producer.log[-1], "resume")
        self.assertEqual(len(theirs.got), 1_000_000)

    def test_bytes_for_a_closed_end_are_answered_with_a_reset(self) -> None:
        ours, theirs = self.connected()
        theirs.transport.loseConnection()
        ours.transport.write(b"too late")
        self.run_for(1)
        self.assertNotEqual(ours.ended, "")

    def test_nobody_listens(self) -> None:
        self.port.stopListening()
        factory = self.connect()
        self.run_for(1)
        self.assertEqual(factory.failed, "ConnectionRefusedError")

    def test_a_machine_without_power_does_not_answer(self) -> None:
        self.world.machines["server"].kill(power_failed=True)
        factory = self.connect(timeout=5)
        self.run_for(4)
        self.assertEqual(factory.failed, "")
        self.run_for(2)
        self.assertEqual(factory.failed, "TimeoutError")

    def test_a_killed_process_is_missed_at_once(self) -> None:
        ours, _ = self.connected()
        self.world.machines["server"].kill()
        self.run_for(1)
        self.assertEqual(ours.ended, "ConnectionLost")

    def test_a_loss_may_be_seen_at_one_end_alone(self) -> None:
        ours, theirs = self.connected()
        ours.transport.break_off()
        theirs.transport.write(b"hello?")
        self.run_for(100)
        self.assertEqual((ours.ended, theirs.ended, ours.got), ("ConnectionLost", "", b""))

    def test_a_partition_holds_bytes_back_until_it_heals(self) -> None:
        ours, theirs = self.connected()
        self.world.network.cut.add(frozenset((_SERVER, _CLIENT)))
        ours.transport.write(b"one")
        ours.transport.write(b"two")
        self.run_for(50)
        self.assertEqual((theirs.got, theirs.ended), (b"", ""))
        self.world.network.heal()
        self.run_for(1)
        self.assertEqual(theirs.got, b"onetwo")

    def test_one_that_hangs_hears_everything_later(self) -> None:
        ours, theirs = self.connected()
        self.server.hung_until = self.world.clock.now + 5
        ours.transport.write(b"hello")
        self.run_for(4)
        self.assertEqual(theirs.got, b"")
        self.run_for(2)
        self.assertEqual(theirs.got, b"hello")

    def test_timers_follow_a_clock_that_is_set(self) -> None:
        called: list[float] = []
        self.client.callLater(60, lambda: called.append(self.client.seconds()))
        self.client.jump(3600)
        self.run_for(1)
        self.assertEqual(len(called), 1)

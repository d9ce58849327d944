"""When a process tries again to join, what it says meanwhile, and how it ends."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IProtocolFactory, IStreamClientEndpoint
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.test.iosim import FakeTransport, IOPump, connect
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from dpip.errors import RetryLater
from dpip.link.broker import Broker, Callee, LinkServerFactory
from dpip.link.certificates import Authority, Key
from dpip.link.connector import Connector
from dpip.link.join_token import JoinToken
from dpip.link.session import CLOSING_SECONDS, LONG_DELAY, SETTLED_SECONDS, JoinedSession, NotJoined
from tests.wires import address, door_to

TOKEN = JoinToken("ab" * 32, "s" * 32)


@implementer(IStreamClientEndpoint)
@define
class Controller:
    """Refuses connections until ``door`` is set; ``calls`` counts the attempts."""

    clock: Clock
    door: LinkServerFactory | None = None
    pump: IOPump | None = None
    calls: int = 0

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        self.calls += 1
        if self.door is None:
            return fail(ConnectionRefusedError())
        client: Any = protocolFactory.buildProtocol(address())
        server: Any = self.door.buildProtocol(address())
        ends = FakeTransport(server, True), FakeTransport(client, False)
        self.clock.callLater(0, self._made, server, client, ends)  # not before it is known to be made
        return succeed(client)

    def _made(self, server: Any, client: Any, ends: tuple[FakeTransport, FakeTransport]) -> None:
        self.pump = connect(server, ends[0], client, ends[1])


@define
class Joining:
    """What the process does for each connection: ``answer`` is raised, or None."""

    answer: Exception | None = None
    brokers: list[Broker] = field(factory=list)
    then: Callable[[], object] = lambda: None

    async def __call__(self, broker: Broker) -> None:
        self.brokers.append(broker)
        self.then()
        if self.answer is not None:
            raise self.answer
        broker.trust()


class JoinedSessionTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.controller = Controller(self.clock)
        self.joining = Joining()
        self.connector = Connector(
            self.controller, lambda: TOKEN, self.clock, secured=lambda tls, endpoint: endpoint
        )

    def start(self, patience: float = 1000) -> JoinedSession:
        session = JoinedSession(self.connector, self.joining, lambda: 0.5, patience)
        session.startService()
        return session

    def listen(self) -> None:
        self.controller.door = door_to(Callee(), self.clock)

    def flush(self) -> None:
        """The connection is made, and everything that is sent arrives."""
        self.clock.advance(0)
        assert self.controller.pump is not None
        self.controller.pump.flush()

    def delay(self) -> float:
        """Seconds to the next attempt, which is made."""
        before, calls = self.clock.seconds(), self.controller.calls
        while self.controller.calls == calls:
            self.clock.advance(
                min(call.getTime() for call in self.clock.getDelayedCalls()) - self.clock.seconds()
            )
        return round(self.clock.seconds() - before, 3)

    def delays(self, count: int) -> list[float]:
        return [self.delay() for _ in range(count)]

    def test_delays_double_up_to_a_limit(self) -> None:
        self.start()
        self.assertEqual(self.delays(6), [0.4, 0.8, 1.6, 3.2, 5.0, 5.0])

    def test_a_process_without_patience_tries_rarely_in_the_end(self) -> None:
        self.start(patience=2)
        self.assertEqual(self.delays(4), [0.4, 0.8, LONG_DELAY, LONG_DELAY])

    def test_jitter_is_half_of_the_delay_to_either_side(self) -> None:
        session = JoinedSession(self.connector, self.joining, iter([0.0, 1.0, 0.0]).__next__)
        session.startService()
        self.assertEqual(self.delays(2), [0.2, 1.2])

    def test_attempts_that_end_after_the_connection_was_made_wait_longer_each_time(self) -> None:
        self.listen()
        self.joining.answer = RetryLater("Not now.")
        self.start()
        found = []
        for _ in range(3):
            self.flush()
            found.append(self.delay())
        self.assertEqual(found, [0.4, 0.8, 1.6])

    def test_where_only_a_person_can_help_the_delay_is_long_until_the_next_answer(self) -> None:
        self.listen()
        self.joining.answer = NotJoined("Wrong token.", retry=False)
        self.start()
        self.flush()
        self.controller.door = None
        self.assertEqual(self.delays(2), [LONG_DELAY, LONG_DELAY])
        self.listen()
        self.joining.answer = NotJoined("Busy.", retry=True)
        self.delay()
        self.flush()
        self.assertLess(self.delay(), LONG_DELAY)

    def test_a_new_certificate_is_shown_at_once_and_without_a_word(self) -> None:
        self.listen()
        self.joining.answer = NotJoined("Come back.", retry=True)
        self.joining.then = self._be_certified
        with capturedLogs() as lines:
            self.start()
            self.flush()
        self.assertEqual((self.controller.calls, self.clock.seconds()), (2, 0.0))
        self.assertEqual(self.connector.secret, b"")
        words = [line["words"] for line in lines if "words" in line]
        self.assertEqual(words, ["The controller cannot be reached: Connection was refused by other side."])

    def _be_certified(self) -> None:
        self.controller.door = None
        authority = Authority.load_or_create(Path(self.mktemp()), time.time())
        key = Key()
        certificate, _ = authority.certify("anna", key.public(), time.time(), 60.0)
        self.connector.certified(key, certificate, 60.0)

    def test_a_link_that_lasted_is_made_again_quickly(self) -> None:
        self.start()
        self.delays(5)
        self.listen()
        self.delay()
        self.flush()
        self.clock.advance(SETTLED_SECONDS)
        self.joining.brokers[-1].transport.loseConnection()
        self.flush()
        self.assertEqual(self.delay(), 0.4)

    def test_the_same_words_are_said_once_until_it_has_joined(self) -> None:
        session = self.start()
        with capturedLogs() as lines:
            self.delays(3)
            self.listen()
            self.delay()
            self.flush()
            self.successResultOf(session.joined)
            session.log_once("again")
            session.log_once("again")
        words = [line["words"] for line in lines if "words" in line]
        self.assertEqual(words, ["again"])

    def test_a_controller_that_does_not_close_is_not_waited_for(self) -> None:
        self.listen()
        session = self.start()
        self.flush()
        stopped = session.stopService()
        with capturedLogs() as lines:
            self.clock.advance(CLOSING_SECONDS)
        self.assertNoResult(stopped)
        self.assertIn("the controller does not close it", str([line.get("line") for line in lines]))
        self.flush()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_a_controller_that_closes_is_not_dropped(self) -> None:
        self.listen()
        session = self.start()
        self.flush()
        stopped = session.stopService()
        self.flush()
        self.successResultOf(stopped)
        self.assertEqual(self.clock.getDelayedCalls(), [])

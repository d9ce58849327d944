"""Perspective Broker within bounds: what passes, what is refused, and what a stranger can cost."""

from __future__ import annotations

import gc
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.test.iosim import FakeTransport
from twisted.trial.unittest import SynchronousTestCase

from dpip.errors import Malformed
from dpip.link.broker import (
    BYTES_AT_LEAST,
    BYTES_AT_ONCE,
    JOIN_SECONDS,
    MAX_UNJOINED,
    MAX_UNJOINED_PER_ADDRESS,
    REPORT_BYTES,
    UNJOINED_BYTES,
    Broker,
    Callee,
    CallRefused,
    CallTimeout,
    LinkClientFactory,
    LinkLost,
    call,
    notify,
)
from dpip.link.certificates import Authority
from dpip.runtime.coroutines import deferred
from dpip.runtime.logs import LINES_PER_MINUTE
from tests.link.test_banana import encoded
from tests.wires import Stranger, Wire, address, door_to


class Echo(Callee):
    def __init__(self) -> None:
        self.heard: list[Any] = []
        self.later: Deferred[bytes] = Deferred()
        self.parting: Any = None

    def remote_echo(self, data: bytes) -> bytes:
        self.heard.append(data)
        return data

    def remote_both(self, first: bytes, second: bytes) -> tuple[bytes, Callee | None]:
        return first + second, self

    def remote_part(self) -> bytes:
        self.parting.part()
        return b"goodbye"

    def remote_refuse(self) -> None:
        raise Malformed("Not like this.")

    def remote_bug(self) -> None:
        raise ZeroDivisionError("a secret of this side")

    @deferred
    async def remote_late(self) -> bytes:
        return await self.later

    def remote_number(self) -> int:
        return 7

    def secret(self) -> None:
        raise AssertionError("called")


class BrokerCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.target = Echo()
        self.door = door_to(self.target, self.clock)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)

    def _observe(self, event: Any) -> None:
        if str(event.get("log_namespace", "")).startswith(("dpip", "twisted", "log_legacy")):
            self.lines.append(str(event.get("line") or event.get("log_format") or event))

    def echo(self, number: int) -> list[Any]:
        """A call that wants no answer, as Banana's expression."""
        return [b"message", number, b"root", b"echo", 0, [b"tuple", b"%d" % number], [b"dictionary"]]

    def ask(self, wire: Wire, name: str, *arguments: object) -> Any:
        return wire.result(call(wire.root, name, *arguments, clock=self.clock, timeout=5))


class CallTests(BrokerCase):
    def test_a_call_and_its_answer(self) -> None:
        self.assertEqual(self.ask(Wire(self.door, self.clock), "echo", b"hello"), b"hello")

    def test_references_pass_and_can_be_called(self) -> None:
        wire = Wire(self.door, self.clock)
        joined, reference = self.ask(wire, "both", b"a", b"b")
        self.assertEqual(joined, b"ab")
        self.assertEqual(wire.result(call(reference, "echo", b"x", clock=self.clock, timeout=5)), b"x")

    def test_an_expected_error_crosses_as_its_sentence_and_the_link_stays(self) -> None:
        wire = Wire(self.door, self.clock)
        self.assertEqual(self.assertRaises(CallRefused, self.ask, wire, "refuse").detail, "Not like this.")
        self.assertEqual(self.ask(wire, "echo", b"still here"), b"still here")

    def test_a_bug_is_logged_here_and_nothing_of_it_crosses(self) -> None:
        wire = Wire(self.door, self.clock)
        error = self.assertRaises(CallRefused, self.ask, wire, "bug")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertNotIn("secret", error.detail)
        self.assertNotIn("ZeroDivision", error.detail)

    def test_an_answer_can_come_later(self) -> None:
        wire = Wire(self.door, self.clock)
        answer = call(wire.root, "late", clock=self.clock, timeout=5)
        wire.pump.flush()
        self.assertNoResult(answer)
        self.target.later.callback(b"at last")
        self.assertEqual(wire.result(answer), b"at last")

    def test_no_answer_in_time(self) -> None:
        wire = Wire(self.door, self.clock)
        answer = call(wire.root, "late", clock=self.clock, timeout=5)
        wire.pump.flush()
        self.clock.advance(5)
        self.failureResultOf(answer, CallTimeout)
        self.target.later.callback(b"too late")
        wire.pump.flush()
        self.assertEqual(self.ask(wire, "echo", b"no harm done"), b"no harm done")

    def test_a_connection_lost_during_a_call(self) -> None:
        wire = Wire(self.door, self.clock)
        answer = call(wire.root, "late", clock=self.clock, timeout=5)
        wire.pump.flush()
        wire.cut()
        self.failureResultOf(answer, LinkLost)
        self.target.later.callback(b"nobody listens")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_a_connection_lost_before_the_call(self) -> None:
        wire = Wire(self.door, self.clock)
        root = wire.root
        wire.cut()
        self.failureResultOf(call(root, "echo", b"x", clock=self.clock, timeout=5), LinkLost)
        notify(root, "echo", b"x")
        self.assertEqual(self.target.heard, [])

    def test_telling_needs_no_answer(self) -> None:
        wire = Wire(self.door, self.clock)
        notify(wire.root, "echo", b"psst")
        wire.pump.flush()
        self.assertEqual(self.target.heard, [b"psst"])

    def test_many_small_messages_leave_the_reactor_time_for_others(self) -> None:
        wire = Wire(self.door, self.clock)
        wire.server.trust()
        turns: list[int] = []
        self.patch(wire.server.transport, "resumeProducing", lambda: turns.append(len(self.target.heard)))
        wire.server.dataReceived(encoded(*[self.echo(number) for number in range(100)]))
        self.clock.advance(0)
        most = BYTES_AT_ONCE // BYTES_AT_LEAST
        self.assertEqual(turns, list(range(most, 100, most)))
        self.assertEqual(self.target.heard, [b"%d" % number for number in range(100)])

    def test_what_has_not_been_heard_when_the_connection_ends_never_is(self) -> None:
        wire = Wire(self.door, self.clock)
        wire.server.trust()
        wire.server.dataReceived(encoded(*[self.echo(number) for number in range(100)]))
        wire.server.drop("enough")
        wire.pump.flush()
        self.clock.advance(1)
        self.assertLess(len(self.target.heard), 100)
        self.assertTrue(wire.server.disconnected)

    def test_of_a_peer_that_is_let_go_nothing_more_is_heard(self) -> None:
        wire = Wire(self.door, self.clock)
        self.target.parting = wire.server
        self.assertEqual(self.ask(wire, "part"), b"goodbye")
        wire.server.dataReceived(b"\xff\xff not ours")
        self.clock.advance(JOIN_SECONDS)
        wire.pump.flush()
        self.assertTrue(wire.server.disconnected)
        self.assertEqual((self.target.heard, self.lines), ([], []))

    def test_the_largest_message_passes_once_trusted_and_not_before(self) -> None:
        large = b"x" * (REPORT_BYTES - 200)
        wire = Wire(self.door, self.clock)
        wire.server.trust()
        notify(wire.root, "echo", large)
        wire.pump.flush()
        self.assertEqual(self.target.heard, [large])
        stranger = Wire(self.door, self.clock)
        notify(stranger.root, "echo", large)
        stranger.pump.flush()
        self.assertEqual(len(self.target.heard), 1)
        self.assertTrue(stranger.server.disconnected)


class RefusalTests(BrokerCase):
    """What is not a call of ours ends the connection, with a line, and no method runs."""

    def _dropped(self, expression: Any) -> None:
        wire = Wire(self.door, self.clock)
        before = len(self.lines)
        wire.client.sendEncoded(expression)
        wire.pump.flush()
        self.assertTrue(wire.server.disconnected, expression)
        self.assertLessEqual(len(self.lines) - before, 1)
        self.assertEqual(self.target.heard, [])
        self.assertEqual(self.flushLoggedErrors(), [])

    def _message(self, name: Any, args: Any, kwargs: Any = (b"dictionary",), target: Any = b"root") -> Any:
        return [b"message", 1, target, name, 1, args, list(kwargs)]

    def test_methods_that_are_not_there(self) -> None:
        for name in (b"nothing", b"secret", b"__init__", b"_echo", b"\xff", 3, [b"echo"]):
            self._dropped(self._message(name, [b"tuple"]))

    def test_objects_that_are_not_there(self) -> None:
        for target in (b"other", 99, -1, [b"root"]):
            self._dropped(self._message(b"echo", [b"tuple", b"x"], target=target))

    def test_the_wrong_number_of_arguments(self) -> None:
        for arguments in ([b"tuple"], [b"tuple", b"a", b"b"]):
            self._dropped(self._message(b"echo", arguments))

    def test_arguments_with_names(self) -> None:
        self._dropped(self._message(b"echo", [b"tuple"], [b"dictionary", [b"data", b"x"]]))

    def test_types_that_we_do_not_send(self) -> None:
        for kind in (
            [b"list", b"x"],
            [b"instance", [b"class", b"os.system"], [b"dictionary"]],
            [b"class", b"subprocess.Popen"],
            [b"function", b"os.system"],
            [b"module", b"os"],
            [b"method", b"x", [b"None"], [b"class", b"os.system"]],
            [b"twisted.spread.pb.CopyableFailure", [b"dictionary"]],
            [b"decimal", 1, 10**20],
            [b"reference", 1, [b"dereference", 1]],
            [b"local", b"root"],
            [b"cache", 1, b"x", [b"None"]],
            [b"persistent", b"x"],
            [b"unicode", b"\xff"],
            [],
            [[]],
        ):
            self._dropped(self._message(b"echo", [b"tuple", kind]))

    def test_commands_of_pb_that_we_do_not_use(self) -> None:
        for command in (b"cachemessage", b"decache", b"uncache", b"didNotUnderstand", b"login", b"nothing"):
            self._dropped([command, 1, 1, b"x", 1, [b"tuple"], [b"dictionary"]])
        for other in (b"text", 1, 1.5, [], [[]], [1]):
            self._dropped(other)

    def test_a_reference_without_its_number_leaves_nothing_that_cannot_be_thrown_away(self) -> None:
        unraised: list[Any] = []
        self.patch(sys, "unraisablehook", unraised.append)
        self._dropped(self._message(b"echo", [b"tuple", [b"remote"]]))
        gc.collect()
        self.assertEqual(unraised, [])

    def test_references_that_were_never_given(self) -> None:
        for number in (5, b"root", b"nothing"):
            self._dropped([b"decref", number])


class StrangerTests(BrokerCase):
    def test_one_that_says_nothing_is_dropped_in_time(self) -> None:
        stranger = Stranger(self.door)
        self.clock.advance(JOIN_SECONDS - 0.1)
        self.assertFalse(stranger.dropped)
        self.clock.advance(0.1)
        self.assertTrue(stranger.dropped)

    def test_a_controller_that_is_none_is_told_from_one(self) -> None:
        """The API's port, by plain HTTP or with TLS: it answers, or waits for a request."""
        for said, words in (
            (b"", "nothing came that a controller would send"),
            (b"HTTP/1.1 400 Bad", "web server"),
        ):
            lines: list[str] = []
            broker: Any = Broker(
                LinkClientFactory(self.clock, lambda _: None, lambda *_: None), True, self.clock, lines.append
            )
            broker.makeConnection(FakeTransport(broker, False, address(), address()))
            if said:
                broker.dataReceived(said)
            self.clock.advance(JOIN_SECONDS)
            self.assertIn(words, "".join(lines))
            self.assertIn("--pb", "".join(lines))

    def test_one_that_keeps_calling_without_joining_is_dropped_in_time_too(self) -> None:
        wire = Wire(self.door, self.clock)
        self.clock.advance(JOIN_SECONDS - 0.1)
        self.ask(wire, "echo", b"hello")
        self.clock.advance(0.1)
        wire.pump.flush()
        self.assertTrue(wire.server.disconnected)

    def test_one_that_joined_may_take_its_time(self) -> None:
        wire = Wire(self.door, self.clock)
        wire.server.trust()
        wire.client.trust()
        self.clock.advance(10 * JOIN_SECONDS)
        self.assertEqual(self.ask(wire, "echo", b"hello"), b"hello")

    def test_many_small_messages_count_as_much_as_a_large_one(self) -> None:
        wire = Wire(self.door, self.clock)
        sent = 0
        while not wire.server.disconnected and sent < 10 * UNJOINED_BYTES:
            notify(wire.root, "echo", b"x" * 100)
            sent += 100
            wire.pump.flush()
        self.assertLessEqual(sum(map(len, self.target.heard)), UNJOINED_BYTES)

    def test_no_more_than_so_many_from_one_address(self) -> None:
        waiting = [Stranger(self.door) for _ in range(MAX_UNJOINED_PER_ADDRESS)]
        self.assertTrue(Stranger(self.door).dropped)
        self.assertFalse(Stranger(self.door, "10.0.0.8").dropped)
        waiting[0].broker.connectionLost()
        self.assertFalse(Stranger(self.door).dropped)

    def test_no_more_than_so_many_in_all(self) -> None:
        for number in range(MAX_UNJOINED):
            self.assertFalse(Stranger(self.door, f"10.0.{number // 30}.1").dropped)
        self.assertTrue(Stranger(self.door, "10.9.9.9").dropped)

    def test_who_has_joined_does_not_count(self) -> None:
        for _ in range(MAX_UNJOINED_PER_ADDRESS + 5):
            wire = Wire(self.door, self.clock)
            wire.server.trust()
        self.assertFalse(wire.server.disconnected)

    def test_the_log_stays_bounded(self) -> None:
        for _ in range(10 * LINES_PER_MINUTE):
            stranger = Stranger(self.door)
            stranger.send(b"GET / HTTP/1.1\r\n\xff")
            stranger.broker.connectionLost()
        self.assertEqual(len(self.lines), LINES_PER_MINUTE)
        self.clock.advance(60)
        Stranger(self.door).send(b"\xff\xff")
        self.assertEqual(len(self.lines), LINES_PER_MINUTE + 2)


JOINING = encoded(
    b"pb",
    [b"version", 6],
    [b"message", 1, b"root", b"both", 1, [b"tuple", b"secret", b"{}"], [b"dictionary"]],
)


class HostileBytesTests(BrokerCase):
    """Whatever arrives: nothing escapes, nothing is held beyond the bound, at most one line is logged."""

    def _throw(self, chunks: list[bytes]) -> None:
        door = door_to(Echo(), self.clock)
        stranger, before = Stranger(door), len(self.lines)
        for chunk in chunks:
            stranger.send(chunk)
            self.assertLessEqual(len(stranger.broker._decoder._buffer), UNJOINED_BYTES)
        self.assertLessEqual(len(self.lines) - before, 1)
        self.assertEqual(self.flushLoggedErrors(), [])
        if sum(map(len, chunks)) > UNJOINED_BYTES:
            self.assertTrue(stranger.dropped)

    @given(st.lists(st.binary(max_size=2000), max_size=20))
    @settings(max_examples=200, deadline=None)
    def test_noise(self, chunks: list[bytes]) -> None:
        self._throw(chunks)

    @given(st.data())
    @settings(max_examples=200, deadline=None)
    def test_a_real_joining_with_bytes_changed(self, data: Any) -> None:
        bytes_ = bytearray(JOINING)
        for _ in range(data.draw(st.integers(1, 4))):
            bytes_[data.draw(st.integers(0, len(bytes_) - 1))] = data.draw(st.integers(0, 255))
        cut = data.draw(st.integers(0, len(bytes_)))
        self._throw([bytes(bytes_[:cut]), bytes(bytes_[cut:]), bytes(bytes_)])

    @given(st.recursive(st.integers() | st.binary(max_size=8), lambda x: st.lists(x, max_size=5)))
    @settings(max_examples=200, deadline=None)
    def test_well_formed_nonsense(self, expression: Any) -> None:
        try:
            nonsense = encoded(expression)
        except Exception:  # noqa: BLE001 - a number that Banana cannot say
            return
        self._throw([encoded(b"pb"), nonsense])

    def test_endless_lists(self) -> None:
        self._throw([encoded(b"pb"), b"\x02\x80" * 100_000])


class TlsStrangerTests(BrokerCase):
    """The deadline and the caps hold from the first byte, before any handshake is done."""

    def setUp(self) -> None:
        super().setUp()
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        options = Authority.load_or_create(Path(temporary.name), 1e9).server_options()
        self.factory = TLSMemoryBIOFactory(options, False, self.door, self.clock)

    def connected(self) -> FakeTransport:
        protocol = self.factory.buildProtocol(address())
        transport = FakeTransport(protocol, True, address(), address())
        protocol.makeConnection(transport)
        return transport

    def test_one_that_never_shakes_hands(self) -> None:
        transport = self.connected()
        self.clock.advance(JOIN_SECONDS - 0.1)
        self.assertFalse(transport.disconnecting)
        self.clock.advance(0.1)
        self.assertTrue(transport.disconnecting)
        self.assertEqual(len(self.lines), 1)

    def test_too_many_that_never_shake_hands(self) -> None:
        for _ in range(MAX_UNJOINED_PER_ADDRESS):
            self.assertFalse(self.connected().disconnecting)
        self.assertTrue(self.connected().disconnecting)

    def test_what_is_not_tls(self) -> None:
        for noise in (b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\xff\xff" + b"x" * 70_000, b"\x80\x01\x03"):
            transport = self.connected()
            transport.bufferReceived(noise)
            self.clock.advance(JOIN_SECONDS)
            self.assertTrue(transport.disconnecting, noise[:10])
        self.assertLessEqual(len(self.lines), 3)
        self.assertEqual(self.flushLoggedErrors(), [])

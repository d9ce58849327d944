"""The heartbeat on a clock that only the test moves."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from dpip.link import worker_messages as wire
from dpip.link.broker import Callee
from dpip.model import Load
from dpip.worker.heartbeat import MAX_SILENCE, Heartbeat
from tests.wires import Wire, door_to

LOAD = Load(cpu_percent=1.0, memory_total=100, memory_available=50)


class Listener(Callee):
    def __init__(self) -> None:
        self.heard: list[Load] = []
        self.silent = False
        self.waiting: list[Deferred[None]] = []

    def remote_report(self, data: bytes) -> Any:
        self.heard.append(wire.decode(data, wire.Report).load)
        if not self.silent:
            return None
        self.waiting.append(Deferred())
        return self.waiting[-1]


class PulseTests(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.listener = Listener()
        self.wire = Wire(door_to(self.listener, self.clock), self.clock)
        self.wire.client.trust()
        self.wire.server.trust()
        self.loads: Any = lambda: succeed(LOAD)
        self.dead: list[str] = []
        self.heartbeat = Heartbeat(self.wire.root, lambda: self.loads(), self.dead.append, self.clock)
        self.heartbeat.start(4.0)
        self.addCleanup(self.heartbeat.stop)

    def beats(self, count: int) -> None:
        for _ in range(count):
            self.wire.pump.flush()
            self.clock.advance(4.0)
        self.wire.pump.flush()

    def test_it_beats_at_once_and_then_every_interval(self) -> None:
        self.wire.pump.flush()
        self.assertEqual(self.listener.heard, [LOAD])
        self.beats(10)
        self.assertEqual(len(self.listener.heard), 11)
        self.assertEqual(self.dead, [])

    def test_without_answers_it_says_so_in_less_than_15_seconds(self) -> None:
        self.beats(2)
        self.listener.silent = True
        began = self.clock.seconds()
        while not self.dead and self.clock.seconds() < 100:
            self.beats(1)
        self.assertLess(self.clock.seconds() - began, 15)
        heard = len(self.listener.heard)
        self.beats(5)
        self.assertEqual((len(self.dead), len(self.listener.heard)), (1, heard))

    def test_a_late_answer_is_an_answer(self) -> None:
        self.listener.silent = True
        for _ in range(5):
            self.beats(MAX_SILENCE - 1)
            self.listener.waiting[-1].callback(None)
        self.assertEqual(self.dead, [])

    def test_a_sampler_that_hangs_does_not_make_it_look_dead(self) -> None:
        self.beats(1)
        hanging: Deferred[Load] = Deferred()
        self.loads = lambda: hanging
        self.beats(5)
        self.assertEqual(self.listener.heard, [LOAD] * 6)  # two before, one beat was spent waiting
        newer = Load(cpu_percent=2.0, memory_total=100, memory_available=50)
        hanging.callback(newer)
        self.loads = lambda: succeed(newer)
        self.beats(1)
        self.assertEqual(self.listener.heard[-1], newer)
        self.assertEqual(self.dead, [])

    def test_a_sampler_that_fails_is_logged_and_the_last_load_told(self) -> None:
        self.beats(1)
        self.loads = lambda: fail(OSError("no /proc"))
        self.beats(2)
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 2)
        self.assertEqual(len(self.listener.heard), 4)

    def test_a_sample_that_fails_after_the_end_is_no_news(self) -> None:
        """What it looked at, the spool say, may have been taken away meanwhile."""
        late: Deferred[Load] = Deferred()
        self.loads = lambda: late
        self.beats(1)
        self.heartbeat.stop()
        late.errback(FileNotFoundError("no spool"))
        self.assertEqual(self.flushLoggedErrors(FileNotFoundError), [])

    def test_a_lost_link_ends_it_quietly(self) -> None:
        self.beats(1)
        self.wire.cut()
        self.beats(1)
        self.heartbeat.stop()
        self.assertEqual(self.clock.getDelayedCalls(), [])

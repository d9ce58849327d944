"""The workers' port under hostile bytes, in this process: what each input costs it, and what it says."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Iterable, Mapping
from random import Random
from time import process_time
from typing import Any, Final

from attrs import define, field
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.logger import LogEvent, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from dpip.controller.worker_link import PING_SECONDS
from dpip.link.broker import JOIN_SECONDS, UNJOINED_BYTES
from tests.security.generated import changed, cut, expressions_made, with_dialect
from tests.security.recorded import sessions, workers_port
from tests.wires import address

MOST_HELD: Final = 1024 * 1024
LONGEST_STOP: Final = 0.020
_WEIGHED: Final = 50
"""Of every so many strangers one is weighed: to follow each allocation takes several times as long."""
_PAUSE: Final = 20
_MADE: Final = 50
"""Of every so many inputs one is Hypothesis's own, as it is."""
_ROUND: Final = 5_000


class _Peer:
    """A transport that keeps what is written to it, as a peer that does not read makes a real one do."""

    def __init__(self, broker: Any, clock: Clock) -> None:
        self.broker = broker
        self.lines: list[str] = []  # of the log
        self.closed = False
        self._clock = clock
        self._longest = self._began = 0.0
        self._unread: list[bytes] = []

    def receive(self, piece: bytes) -> float:
        """Until all of it has been heard. Returns the longest stop meanwhile, in seconds of CPU time."""
        self._longest, self._began = 0.0, process_time()
        self.broker.dataReceived(piece)
        self._lap()
        self._clock.advance(0)
        self._lap()
        return self._longest

    def _lap(self) -> None:
        """A turn ends, and another begins."""
        now = process_time()
        self._longest, self._began = max(self._longest, now - self._began), now

    def write(self, data: bytes) -> None:
        self._unread.append(data)

    def writeSequence(self, pieces: Iterable[bytes]) -> None:
        self._unread.extend(pieces)

    def pauseProducing(self) -> None:
        """What follows comes in the next turn."""

    def resumeProducing(self) -> None:
        self._lap()

    def loseConnection(self, reason: object = None) -> None:
        self.closed = True

    def abortConnection(self) -> None:
        self.closed = True

    def getPeer(self) -> Any:
        return address()

    def getHost(self) -> Any:
        return address("10.0.0.1", 8787)


@define
class Seen:
    """The most that any of the inputs made the controller do.

    Bytes are those allocated for one stranger from its first byte on, the most of them at any time; seconds
    are CPU time of one turn of the reactor: ``stops`` are those longer than allowed, by the number of the
    input, and ``stop`` is the longest of the others.
    """

    inputs: Counter[str] = field(factory=Counter)
    by_workers: int = 0
    dropped: int = 0
    weighed: int = 0
    held: int = 0
    stop: float = 0.0
    stops: dict[int, float] = field(factory=dict)
    lines_of_stranger: int = 0
    lines_of_worker: int = 0
    wrong: list[str] = field(factory=list)


def lasting(stops: Mapping[int, float], again: Mapping[int, float]) -> dict[int, float]:
    """Those of one run that come again in another of the same seed, each as short as it was seen.

    The others were the machine's: a virtual one counts as a process's own the time that its host takes away.
    """
    return {number: min(stops[number], again[number]) for number in stops.keys() & again.keys()}


class Port:
    """Throws inputs at it; each seed gives the same ones again."""

    def __init__(self, seed: int) -> None:
        self.seen = Seen()
        self._seed = seed
        self._random = Random(seed)
        self._sessions = sessions()
        self._clock = Clock()
        self._workers, self._record = workers_port(self._clock)
        self._events: list[LogEvent] = []
        self._thrown = 0
        self._worker: _Peer | None = None

    def throw(self, number: int) -> Seen:
        """So many more."""
        globalLogPublisher.addObserver(self._events.append)
        try:
            left = number
            while left:
                size = min(left, _ROUND)
                self._round(size)
                left -= size
        finally:
            globalLogPublisher.removeObserver(self._events.append)
            gc.unfreeze()
        return self.seen

    def _round(self, number: int) -> None:
        made = expressions_made(number // _MADE + 1, self._seed * 1_000_003 + self._thrown)
        gc.collect()
        gc.freeze()  # what Hypothesis keeps is none of the port's, nor is the time it takes to go through it
        waiting = iter(made)
        before = [session.whole for session in self._sessions]
        after = [session.after for session in self._sessions if session.after]
        others = [*before, *made]
        shorter, shorter_after = ([1 / len(data) for data in some] for some in (before, after))
        for _ in range(number):
            by_worker = self._random.random() < 0.5
            if (expression := next(waiting, None)) is not None:
                self.seen.inputs["made by Hypothesis"] += 1
                data = expression if by_worker else with_dialect(expression)
            elif self._random.random() < 0.1:
                self.seen.inputs["made by Hypothesis, changed"] += 1
                data = changed(self._random, self._random.choice(made), others)
                data = data if by_worker else with_dialect(data)
            else:
                self.seen.inputs["recorded, changed"] += 1
                some, weights = (after, shorter_after) if by_worker else (before, shorter)
                [data] = self._random.choices(some, weights)
                data = changed(self._random, data, others)
            self._one(by_worker, data)

    def _one(self, by_worker: bool, data: bytes) -> None:
        self._thrown += 1
        if by_worker:
            self._by_worker(data)
        else:
            self._by_stranger(data)
        if self._thrown % _PAUSE == 0:
            self._clock.advance(60.0)  # so that the log rations no line of what comes next
            self._record.log.clear()

    def _by_worker(self, data: bytes) -> None:
        """It goes on until it is dropped; only then another joins."""
        if self._worker is not None and self._worker.closed:
            self._end(self._worker)
            self._worker = None
        if self._worker is None:
            self._clock.advance(PING_SECONDS)  # a stranger of its name may still be waiting for it to answer
            self._worker = worker = self._connected()
            worker.receive(self._sessions[0].before)
            assert worker.broker.trusted
            worker.lines.clear()
        self.seen.by_workers += 1
        self._throw_at(self._worker, data)
        self.seen.lines_of_worker = max(self.seen.lines_of_worker, len(self._worker.lines))

    def _by_stranger(self, data: bytes) -> None:
        """From its first byte to its end."""
        weigh = self._thrown % _WEIGHED == 0
        if weigh:
            tracemalloc.start(1)
        stranger = self._connected()
        self._throw_at(stranger, data, timed=not weigh)
        self._clock.advance(0)  # who was refused is let go in the next turn
        if weigh:
            held = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            self.seen.weighed += 1
            self.seen.held = max(self.seen.held, held)
            if held > MOST_HELD:
                self._is_wrong(data, f"{held:,} bytes held")
        if not stranger.broker.trusted:
            if len(data) > UNJOINED_BYTES and not stranger.closed:
                self._is_wrong(data, "more bytes than a stranger may send")
            if self._thrown % _WEIGHED == 1:
                self._clock.advance(JOIN_SECONDS)
                if not (stranger.closed or stranger.broker.trusted):
                    self._is_wrong(data, "has not joined in time, and is still there")
            self.seen.lines_of_stranger = max(self.seen.lines_of_stranger, len(stranger.lines))
            if len(stranger.lines) > 1:
                self._is_wrong(data, f"{len(stranger.lines)} lines: {stranger.lines[:3]}")
        self._end(stranger)

    def _connected(self) -> _Peer:
        peer = _Peer(self._workers.server_factory.buildProtocol(address()), self._clock)
        peer.broker.makeConnection(peer)
        return peer

    def _throw_at(self, peer: _Peer, data: bytes, timed: bool = True) -> None:
        self._events.clear()
        longest = 0.0
        for piece in cut(self._random, data):
            try:
                longest = max(longest, peer.receive(piece))
            except Exception as error:  # noqa: BLE001 - whatever it is, it should not have come out
                self._is_wrong(data, f"{type(error).__name__} came out: {error}")
            if peer.closed:
                self.seen.dropped += 1
                break
        if timed:
            if longest > LONGEST_STOP:
                self.seen.stops[self._thrown] = longest
            else:
                self.seen.stop = max(self.seen.stop, longest)
        peer.lines += [formatEvent(event) for event in self._events]
        if any("log_failure" in event for event in self._events):
            self._is_wrong(data, f"a fault: {peer.lines}")

    def _end(self, peer: _Peer) -> None:
        peer.broker.connectionLost(Failure(ConnectionLost()))

    def _is_wrong(self, data: bytes, what: str) -> None:
        self.seen.wrong.append(f"input {self._thrown}, {len(data)} bytes: {what} {data[:200]!r}")

    def left(self) -> list[str]:
        """What connections that have ended left behind."""
        door: Any = self._workers.server_factory
        if self._worker is not None:
            self._end(self._worker)
        self._clock.advance(60.0)
        kept = {
            "connections": door._open,
            "strangers": door._unjoined,
            "addresses": door._addresses,
            "workers": self._workers.links(),
        }
        return [f"{len(things)} {name}" for name, things in kept.items() if things]

"""One end of a link on which both sides ask: all calls and answers of a turn of the reactor share a message.

A message costs Perspective Broker and TLS much more than a call in it. Messages arrive in the order in which
they were sent; in each, all answers come before all calls.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.pb import RemoteReference

from dpip.errors import DpipError, Malformed, RetryLater
from dpip.link.api_messages import error_of, plain_error
from dpip.link.broker import Broker, Callee, notify

PIECE_BYTES: Final = 256 * 1024
"""A longer message goes in pieces: Perspective Broker stops at 640 KiB."""
MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""At most, in all its pieces."""
BEAT_SECONDS: Final = 4.0
MAX_SILENCE: Final = 3
"""Beats without a message from the other side, after which the link is dropped."""
_NOTIFICATION: Final = 0  # the number of calls that are not to be answered
_AWAY: Final = "The controller is away at the moment. Try again in a few seconds."


class PeerFault(Exception):
    """The other side had a fault while it answered; its log says what."""


class Exchange(Callee):
    """``answer(name, arguments)`` gives a value for JSON or a Deferred of one; it may fail with DpipError."""

    log = Logger()

    def __init__(self, clock: IReactorTime, answer: Callable[[str, list[Any]], Any]) -> None:
        self._clock = clock
        self._answer = answer
        self._broker: Broker | None = None
        self._peer: RemoteReference | None = None
        self._asked: dict[int, Deferred[Any]] = {}
        self._number = _NOTIFICATION
        self._calls: list[Any] = []
        self._answers: list[Any] = []
        self._refusals: list[Any] = []
        self._flushing: IDelayedCall | None = None
        self._pieces: list[bytes] = []
        self._silence = 0
        self._beat = LoopingCall(self._keep_alive)
        self._beat.clock = clock

    def start(self, broker: Broker, peer: RemoteReference) -> None:
        """The link is made."""
        self._broker, self._peer = broker, peer
        self._beat.start(BEAT_SECONDS, now=False)

    def stop(self) -> None:
        """The link is lost: every call under way fails."""
        self._peer = None
        if self._beat.running:
            self._beat.stop()
        if self._flushing is not None:
            self._flushing.cancel()
            self._flushing = None
        asked, self._asked = self._asked, {}
        for waiting in asked.values():
            waiting.errback(RetryLater(_AWAY, retry_after=2))

    def ask(self, name: str, *arguments: Any) -> Deferred[Any]:
        """Call the other side. Fails with its DpipError, with PeerFault, or with RetryLater if it is away."""
        if self._peer is None:
            return fail(RetryLater(_AWAY, retry_after=2))
        self._number += 1
        answer: Deferred[Any] = Deferred()
        self._asked[self._number] = answer
        self._calls.append([self._number, name, arguments])
        self._soon()
        return answer

    def notify(self, name: str, *arguments: Any) -> None:
        """Call the other side without an answer. Nothing happens when it is away."""
        if self._peer is not None:
            self._calls.append([_NOTIFICATION, name, arguments])
            self._soon()

    # What comes in

    def remote_take(self, piece: object, more: object) -> None:
        if not isinstance(piece, bytes) or self._broker is None:
            raise Malformed("A piece of a message is bytes.")
        self._silence = 0
        self._pieces.append(piece)
        if len(self._pieces) * PIECE_BYTES > MESSAGE_BYTES:
            self._broker.drop("a message without end")
        elif not more:
            data, self._pieces = b"".join(self._pieces), []
            self._handle(*json.loads(data))

    def _handle(self, answers: list[Any], refusals: list[Any], calls: list[Any]) -> None:
        for number, value in answers:
            if number in self._asked:
                self._asked.pop(number).callback(value)
        for number, error in refusals:
            if number in self._asked:
                self._asked.pop(number).errback(_reason(error))
        for number, name, arguments in calls:
            answer = maybeDeferred(self._answer, name, arguments)
            answer.addCallback(self._answered, number)
            answer.addErrback(self._refused, number, name)

    def _answered(self, value: Any, number: int) -> None:
        if number != _NOTIFICATION and self._peer is not None:
            self._answers.append([number, value])
            self._soon()

    def _refused(self, failure: Failure, number: int, name: str) -> None:
        expected = isinstance(failure.value, DpipError)
        if not expected:
            self.log.failure("{name} could not be answered", failure, name=name)
        if number != _NOTIFICATION and self._peer is not None:
            self._refusals.append([number, plain_error(failure.value) if expected else None])  # type: ignore[arg-type]
            self._soon()

    # What goes out

    def _soon(self) -> None:
        if self._flushing is None:
            self._flushing = self._clock.callLater(0, self._flush)

    def _flush(self) -> None:
        self._flushing = None
        message = self._answers, self._refusals, self._calls
        self._answers, self._refusals, self._calls = [], [], []
        data = json.dumps(message, separators=(",", ":")).encode()
        if self._peer is None:
            return
        for start in range(0, len(data), PIECE_BYTES):
            more = b"more" if start + PIECE_BYTES < len(data) else b""
            notify(self._peer, "take", data[start : start + PIECE_BYTES], more)

    def _keep_alive(self) -> None:
        """Send a message, an empty one if need be, to show that this side is there."""
        self._silence += 1
        if self._silence > MAX_SILENCE and self._broker is not None:
            self._broker.drop("nothing heard from it for too long")
        else:
            self._soon()


def _reason(error: list[Any] | None) -> Exception:
    return PeerFault("The other side's log says why.") if error is None else error_of(*error)

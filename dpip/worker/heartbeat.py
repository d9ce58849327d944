"""The worker's heartbeat: its load, every few seconds, as long as it is answered now and then.

An answer costs the controller as much as the report itself, so only every other report asks for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.pb import RemoteReference

from dpip.link import worker_messages as wire
from dpip.link.broker import call, notify
from dpip.model import Load

MAX_SILENCE: Final = 2
"""Reports since the last answer: with 4 s between them a dead link is noticed after 12 s at most."""


class Heartbeat:
    """``sample()`` gives a Deferred with the load, ``dead(reason)`` is called when nobody answers."""

    log = Logger()

    def __init__(
        self,
        controller: RemoteReference,
        sample: Callable[[], Deferred[Load]],
        dead: Callable[[str], object],
        clock: IReactorTime,
    ) -> None:
        self._controller = controller
        self._sample = sample
        self._dead = dead
        self._clock = clock
        self._load: Load | None = None
        self._sampling = False
        self._unanswered = 0
        self._loop = LoopingCall(self._beat)
        self._loop.clock = clock

    def start(self, seconds: float) -> None:
        """The first beat is now."""
        self._loop.start(seconds)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        """A sampler that hangs, in a GPU's driver say, must not make the worker look dead: the last load is
        reported again."""
        if self._unanswered >= MAX_SILENCE:
            self.stop()
            self._dead("the controller does not answer")
        elif self._sampling:
            self._report()
        else:
            self._sampling = True
            self._sample().addCallback(self._sampled).addErrback(self._no_sample).addBoth(self._report)

    def _sampled(self, load: Load) -> None:
        self._sampling = False
        self._load = load

    def _no_sample(self, failure: Failure) -> None:
        self._sampling = False
        if self._loop.running:  # else what it looked at may be gone, too
            self.log.failure("The load of this machine could not be taken", failure)

    def _report(self, _: object = None) -> None:
        if self._load is None or not self._loop.running:
            return
        message = wire.encode(wire.Report(self._load))
        asks = self._unanswered > 0
        self._unanswered += 1
        if asks:
            seconds = MAX_SILENCE * (self._loop.interval or 0)
            answer = call(self._controller, "report", message, clock=self._clock, timeout=seconds)
            answer.addCallbacks(self._answered, self._not_answered)
        else:
            notify(self._controller, "report", message)

    def _answered(self, _: object) -> None:
        self._unanswered = 0

    def _not_answered(self, failure: Failure) -> None:
        """It is counted; the next beat, or the loss of the connection, draws the conclusion."""
        self.log.debug("A report was not answered: {why}", why=failure.getErrorMessage())

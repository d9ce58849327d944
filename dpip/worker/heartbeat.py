"""The worker's heartbeat: it reports its load every few seconds, and drops a link without answers.

An answer costs the controller as much as the report itself, so only every other report asks for one.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from attrs import define, field
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


@define(eq=False)
class Heartbeat:
    """``sample()`` gives a Deferred with the load, ``dead(reason)`` is called when there are no answers."""

    log = Logger()

    _controller: RemoteReference
    _sample: Callable[[], Deferred[Load]]
    _dead: Callable[[str], object]
    _clock: IReactorTime
    _load: Load | None = field(default=None, init=False)
    _sampling: bool = field(default=False, init=False)
    _unanswered: int = field(default=0, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._beat)
        self._loop.clock = self._clock

    def start(self, seconds: float) -> None:
        """Beat now, and every so many seconds."""
        self._loop.start(seconds)

    def stop(self) -> None:
        if self._loop.running:
            self._loop.stop()

    def _beat(self) -> None:
        """Report a new load; the last one while the sampler hangs, perhaps in a GPU's driver."""
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
        if self._loop.running:  # else what it measures may be gone, too
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
        """Nothing is to be done: the next beat counts it, or the connection is lost."""
        self.log.debug("A report was not answered: {why}", why=failure.getErrorMessage())

"""How a worker or an API process joins the controller, stays joined, and joins again after a lost link.

What a process sends to join, and what it does once it has joined, is in the coroutine that it gives.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from math import inf
from typing import Final

from twisted.application.internet import ClientService, backoffPolicy
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.pb import RemoteReference

from dpip.errors import DpipError, Malformed
from dpip.link.broker import JOIN_SECONDS, Broker, Callee, LinkClientFactory, call
from dpip.link.certificates import WrongController
from dpip.link.connector import Connector
from dpip.runtime.coroutines import deferred
from dpip.runtime.startup import CannotStart

FIRST_DELAY: Final = 0.2
MAX_DELAY: Final = 5.0
LONG_DELAY: Final = 30.0
"""Seconds between attempts to join, each ± half: doubled from the first up to the second; the third where
only a person can help."""
SETTLED_SECONDS: Final = 10.0
"""A link that lasted less counts as a failed attempt: the next one waits longer."""
CLOSING_SECONDS: Final = 5.0
_MAX_SAID: Final = 20


class NotJoined(Exception):
    """This process may not join, with the reason for people; ``retry`` says whether trying again helps."""

    def __init__(self, reason: str, retry: bool) -> None:
        super().__init__(reason)
        self.retry = retry


class JoinedSession(ClientService):
    """Keeps a process joined, from its start to its stop.

    ``join(broker)`` is called for each connection. It calls :meth:`ask`, prepares the process for the
    controller's calls, and raises NotJoined, DpipError or CannotStart. After ``quick_attempts`` failures
    the delay is the long one. ``joined`` fires when ``join`` has succeeded for the first time, or fails with
    CannotStart.
    """

    log = Logger()

    def __init__(
        self,
        connector: Connector,
        join: Callable[[Broker], Awaitable[None]],
        jitter: Callable[[], float],
        quick_attempts: float = inf,
    ) -> None:
        connector.on_failure = self.log_once
        self.joined: Deferred[None] = Deferred()
        self._connector, self._clock = connector, connector.clock
        self._join, self._jitter, self._quick_attempts = join, jitter, quick_attempts
        # Its own jitter is up to a second, however short the delay: see _delay.
        self._backoff = backoffPolicy(FIRST_DELAY, MAX_DELAY, factor=2.0, jitter=lambda: 0.0)
        self._broker: Broker | None = None  # of the connection, joined or not
        self._joined_at: float | None = None
        self._failures = 0  # in a row
        self._refused_for_good = False  # the last attempt was refused, and another one alone will not help
        self._logged: set[str] = set()
        caller = LinkClientFactory(self._clock, self._connected, self._disconnected)
        super().__init__(connector, caller, self._delay, self._clock)

    @deferred
    async def stopService(self) -> None:
        """Close the link once what has been written is sent, or after ``CLOSING_SECONDS``."""
        closing = super().stopService()
        if self._broker is not None:
            reason = "the controller does not close it"
            late = self._clock.callLater(CLOSING_SECONDS, self._broker.drop, reason)
            closing.addCallback(lambda _: late.cancel() if late.active() else None)
        await closing

    async def ask(
        self, broker: Broker, method: str, hello: bytes, ours: Callee
    ) -> tuple[bytes, RemoteReference | None]:
        """Return the controller's answer, and its object that we may call, if we may join.

        Raises DpipError if there is no answer in time, or none that makes sense.
        """
        arguments = self._connector.secret, hello, ours
        root = broker.remoteForName("root")
        answer = await call(root, method, *arguments, clock=self._clock, timeout=JOIN_SECONDS)
        match answer:
            case (bytes() as data, RemoteReference() as theirs):
                broker.trust()
                return data, theirs
            case (bytes() as data, None):
                return data, None
        raise Malformed("The controller's answer makes no sense: it may be of another version.")

    def log_once(self, words: str) -> None:
        """Log the words once between two joinings: a process that waits for hours must not fill the log."""
        if words not in self._logged and len(self._logged) < _MAX_SAID and self.running:
            self._logged.add(words)
            self.log.info("{words}", words=words)

    @deferred
    async def _connected(self, broker: Broker) -> None:
        self._broker = broker
        self._refused_for_good = False
        try:
            await self._join(broker)
        except NotJoined as refusal:
            self._refused_for_good = not refusal.retry
            if not self._connector.newly_certified:
                self.log_once(str(refusal))
            broker.transport.loseConnection()
        except DpipError as error:
            broker.drop(f"joining failed: {error}")
        except CannotStart:
            self.joined.errback(Failure())
        else:
            self._has_joined(broker)

    def _has_joined(self, broker: Broker) -> None:
        if broker.disconnected:
            return
        self._joined_at = self._clock.seconds()
        self._logged.clear()
        if not self.joined.called:
            self.joined.callback(None)

    def _disconnected(self, _: Broker, reason: Failure) -> None:
        joined_at, self._joined_at, self._broker = self._joined_at, None, None
        if joined_at is not None:
            lasted = self._clock.seconds() - joined_at >= SETTLED_SECONDS
            self._failures = 0 if lasted else self._failures + 1
        elif not self._connector.newly_certified:
            self._failures += 1
            if reason.check(WrongController):
                self.log_once(str(reason.value))
            elif not self._refused_for_good:
                self.log_once(f"The connection was closed before we had joined: {reason.getErrorMessage()}")

    def _delay(self, attempt: int) -> float:
        if self._connector.newly_certified:
            return 0.0
        attempts = max(attempt, self._failures)
        rarely = self._refused_for_good or attempts > self._quick_attempts
        return (LONG_DELAY if rarely else self._backoff(attempts)) * (0.5 + self._jitter())

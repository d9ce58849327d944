"""An API process's life: it listens, joins the controller, and joins again for as long as it lives.

It listens before it has joined, and goes on listening when it has lost the controller: requests are answered
503 then. What was accepted is in the image store and in the controller's database, and nothing of it is here.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, Final

from attrs import frozen
from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.asynchronous import deferred
from dpip.authority import WrongController
from dpip.broker import JOIN_SECONDS, MESSAGE_BYTES, Broker, Caller, call
from dpip.entrance import Entrance, Secured
from dpip.errors import DpipError
from dpip.imagestore import INCOMING, ImageStore
from dpip.jointoken import JoinToken
from dpip.remote.controller import RemoteController
from dpip.remote.exchange import Exchange
from dpip.remote.messages import Hello, Refusal, Welcome, decode, encode
from dpip.start import CannotStart

_DELAY: Final = 0.2
_MAX_DELAY: Final = 5.0
_HOPELESS_DELAY: Final = 30.0
"""Seconds between attempts to join, each ± half: growing to 5; 30 where only somebody can help."""
_MAX_SAID: Final = 20


@frozen
class ApiProcess:
    """What the process works with. ``listen(identity)`` begins to serve requests, by TLS if there is one, and
    raises CannotStart; ``scheme`` and ``url`` say how workers reach it, see ``messages``."""

    reactor: Any
    secured: Secured
    hello: Hello
    store: str
    image_store: ImageStore
    controller: RemoteController
    listen: Callable[[str | None], Deferred[IListeningPort]]
    scheme: str
    url: str | None
    jitter: Callable[[], float]


class ApiSession(Service):
    """``joined`` fires when requests are answered for the first time."""

    log = Logger()

    def __init__(
        self, process: ApiProcess, controller: IStreamClientEndpoint, read_token: Callable[[], JoinToken]
    ) -> None:
        self._process = process
        self._clock = process.reactor
        self._entrance = Entrance(controller, read_token, self._say, self._clock, process.secured)
        caller = Caller(self._clock, self._join, self._lost)
        self._client = ClientService(self._entrance, caller, retryPolicy=self._delay, clock=self._clock)
        self._port: IListeningPort | None = None
        self._exchange: Exchange | None = None
        self._hopeless = False
        self._said: set[str] = set()
        self.joined: Deferred[None] = Deferred()

    def startService(self) -> None:
        super().startService()
        self._client.startService()

    @deferred
    async def stopService(self) -> None:
        """No new connection is taken; what is under way has no controller any more."""
        await maybeDeferred(super().stopService)
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        await maybeDeferred(self._client.stopService)
        if self._process.image_store.running:
            await maybeDeferred(self._process.image_store.stopService)

    # Joining

    @deferred
    async def _join(self, broker: Broker) -> None:
        self._hopeless = False
        exchange = Exchange(self._clock, self._process.controller.answer)
        root = broker.remoteForName("root")
        arguments = self._entrance.secret, encode(self._process.hello), exchange
        try:
            answer, peer = await call(root, "serve", *arguments, clock=self._clock, timeout=JOIN_SECONDS)
            if peer is None:
                raise _NotWelcome(decode(answer, Refusal))
            welcome = decode(answer, Welcome)
            self._check_store(welcome)
            broker.trust(MESSAGE_BYTES)
            exchange.begin(broker, peer)
            self._exchange = exchange
            await self._begin(exchange, welcome)
        except (_NotWelcome, _NotTheStore) as refusal:
            self._hopeless = not refusal.retry
            self._say(str(refusal))
            broker.transport.loseConnection()
        except DpipError as error:
            broker.drop(f"joining failed: {error}")
        except CannotStart:
            self.joined.errback(Failure())

    def _check_store(self, welcome: Welcome) -> None:
        """Raises _NotTheStore."""
        path = os.path.join(self._process.store, INCOMING, os.path.basename(welcome.proof))
        try:
            with open(path, encoding="ascii") as file:
                found = file.read(len(welcome.nonce) + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise _NotTheStore(self._process.store, str(error)) from None
        if found != welcome.nonce:
            raise _NotTheStore(self._process.store, "the mark there is another one")

    async def _begin(self, exchange: Exchange, welcome: Welcome) -> None:
        process = self._process
        if not process.image_store.running:
            process.image_store.startService()
        process.image_store.floor = welcome.disk_floor
        process.controller.joined(exchange, welcome)
        if self._port is None:
            self._port = await process.listen(welcome.identity)
        exchange.tell("serving", process.url, process.scheme, getattr(self._port.getHost(), "port", 0))
        self._said.clear()
        self.log.info("Joined the controller; uploads go to {store}", store=process.store)
        if not self.joined.called:
            self.joined.callback(None)

    # Losing the link, and trying again

    def _lost(self, broker: Broker, reason: Failure) -> None:
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            self._process.controller.left()
            exchange.end()
            self.log.info("The link to the controller has ended: requests are answered 503 until it is back")
        elif reason.check(WrongController):
            self._say(str(reason.value))

    def _delay(self, attempt: int) -> float:
        seconds = _HOPELESS_DELAY if self._hopeless else min(_MAX_DELAY, _DELAY * 2 ** min(10, attempt))
        return seconds * (0.5 + self._process.jitter())

    def _say(self, words: str) -> None:
        """Once between two joinings."""
        if words not in self._said and len(self._said) < _MAX_SAID and self.running:
            self._said.add(words)
            self.log.info("{words}", words=words)


class _NotWelcome(Exception):
    def __init__(self, refusal: Refusal) -> None:
        super().__init__(f"The controller does not take this API process: {refusal.reason}")
        self.retry = refusal.retry


class _NotTheStore(Exception):
    retry = False

    def __init__(self, store: str, why: str) -> None:
        super().__init__(
            f"{store} is not the image store of this controller ({why}): give its directory, or where its "
            "filesystem is mounted here, with --store."
        )

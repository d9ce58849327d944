"""The session of an API process: it listens, joins the controller, and joins again whenever the link is lost.

It listens once it has joined, and goes on listening when it has lost the controller: requests are answered
503 then. What was accepted is in the image store and in the controller's database, and nothing of it is here.
"""

from __future__ import annotations

import os
from collections.abc import Callable

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IListeningPort
from twisted.logger import Logger

from dpip.api_process.remote_controller import RemoteController
from dpip.link.api_messages import ApiHello, ApiRefusal, ApiWelcome
from dpip.link.broker import Broker
from dpip.link.codec import decode, encode
from dpip.link.connector import Connector
from dpip.link.exchange import Exchange
from dpip.link.session import JoinedSession, NotJoined
from dpip.runtime.coroutines import deferred
from dpip.store.image_store import INCOMING, ImageStore


@define(eq=False, slots=False)
class ApiSession(Service):
    """The service that an API process is.

    ``listen(identity)`` begins to serve requests, by TLS if there is an identity, and raises CannotStart.
    ``scheme`` and ``url`` say how workers reach it. ``joined`` fires when requests are answered for the first
    time.
    """

    log = Logger()

    connector: Connector
    hello: ApiHello
    store: str
    image_store: ImageStore
    controller: RemoteController
    listen: Callable[[str | None], Deferred[IListeningPort]]
    scheme: str
    url: str | None
    jitter: Callable[[], float]
    joined: Deferred[None] = field(init=False)
    _session: JoinedSession = field(init=False)
    _port: IListeningPort | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._session = JoinedSession(self.connector, self._join, self.jitter)
        self.joined = self._session.joined

    def startService(self) -> None:
        super().startService()
        self._session.startService()

    @deferred
    async def stopService(self) -> None:
        """Take no new connection; requests under way have no controller any more."""
        await maybeDeferred(super().stopService)
        if self._port is not None:
            await maybeDeferred(self._port.stopListening)
        await self._session.stopService()
        if self.image_store.running:
            await maybeDeferred(self.image_store.stopService)

    @deferred
    async def _join(self, broker: Broker) -> None:
        """Join the controller. Raises NotJoined, DpipError, CannotStart."""
        exchange = Exchange(self.connector.clock, self.controller.answer)
        data, peer = await self._session.ask(broker, "serve", encode(self.hello), exchange)
        if peer is None:
            refusal = decode(data, ApiRefusal)
            raise NotJoined(f"The controller does not take this API process: {refusal.reason}", refusal.retry)
        welcome = decode(data, ApiWelcome)
        self._check_store(welcome)
        exchange.start(broker, peer)
        broker.on_lost(lambda: self._left(exchange))
        await self._begin(exchange, welcome)

    def _check_store(self, welcome: ApiWelcome) -> None:
        """Read the controller's mark in the image store. Raises NotJoined when it is not there."""
        path = os.path.join(self.store, INCOMING, os.path.basename(welcome.proof))
        why = "the mark there is another one"
        try:
            with open(path, encoding="ascii") as file:
                if file.read(len(welcome.nonce) + 1) == welcome.nonce:
                    return
        except (OSError, UnicodeDecodeError) as error:
            why = str(error)
        raise NotJoined(
            f"{self.store} is not the image store of this controller ({why}): give its directory, "
            "or where its filesystem is mounted here, with --store.",
            retry=False,
        )

    async def _begin(self, exchange: Exchange, welcome: ApiWelcome) -> None:
        if not self.image_store.running:
            self.image_store.startService()
        self.image_store.space.floor = welcome.disk_floor
        self.controller.joined(exchange, welcome)
        if self._port is None:
            self._port = await self.listen(welcome.identity)
        exchange.notify("serving", self.url, self.scheme, getattr(self._port.getHost(), "port", 0))
        self.log.info("Joined the controller; uploads go to {store}", store=self.store)

    def _left(self, exchange: Exchange) -> None:
        self.controller.left()
        exchange.stop()
        self.log.info("The link to the controller has ended: requests are answered 503 until it is back")

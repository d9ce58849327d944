"""Joining the controller, staying joined, and joining again, for as long as the worker lives."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import evolve, frozen
from twisted.application.internet import ClientService
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IDelayedCall, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.pb import RemoteReference

from dpip import __version__, wire
from dpip.asynchronous import deferred
from dpip.authority import Credential, Key, WrongController
from dpip.broker import JOIN_SECONDS, Broker, Caller, call
from dpip.entrance import Entrance, Secured
from dpip.errors import BadCertificate, DpipError, Malformed
from dpip.jointoken import JoinToken
from dpip.model import Load
from dpip.worker.attempt import Tools
from dpip.worker.compute import Pool
from dpip.worker.desk import Desk, NotHere
from dpip.worker.pulse import Pulse
from dpip.worker.resources import Gpus, Sampler
from dpip.worker.shift import Shift
from dpip.worker.spool import Spool
from dpip.worker.store import Store
from dpip.worker.transfer import Transfer

_FIRST_DELAY: Final = 0.2
_MAX_DELAY: Final = 5.0
_PATIENT: Final = 100
_HOPELESS_DELAY: Final = 30.0
"""Seconds between attempts, each ± half: growing to 5 s; 30 s after 100 attempts in vain, and where only
somebody's help can change the answer."""
_SETTLED_SECONDS: Final = 10.0
"""A link that lasted less counts as a failed attempt: the next one waits longer."""
_LEAST_RENEWAL: Final = 1.0
"""Seconds between attempts to renew the certificate."""
_MAX_SAID: Final = 20
_CLOSING_SECONDS: Final = 5.0


@frozen
class Worker:
    """What a worker is and what it works with. ``in_thread`` runs a function off the reactor's thread."""

    name: str
    machine: str
    tags: tuple[str, ...]
    cores: int
    gpus: Gpus
    pool: Pool
    spool: Spool
    sampler: Sampler
    reactor: Any
    in_thread: Callable[..., Deferred[Any]]
    jitter: Callable[[], float]
    secured: Secured = wrapClientTLS
    credential: Credential | None = None  # to begin with
    local_store: bool = False  # share the image store's files, where it is on this machine
    log_jobs: bool = False

    def hello(self, ready: Mapping[str, Any]) -> wire.Hello:
        """``ready`` is what the first compute child said it can do."""
        return wire.Hello(
            name=self.name,
            version=__version__,
            machine=self.machine,
            slots=self.pool.slots,
            capacity=4 * self.pool.slots + 16,  # of short jobs: the scheduler sends half a second's
            tags=self.tags,
            filters=dict(ready["filters"]),
            has_gpu=bool(ready.get("gpu")),  # one that filters; NVML may show others
            fingerprint=ready["fingerprint"],
            local_store=self.local_store,
        )


class _Link:
    """One connection, and what belongs to it."""

    def __init__(self, broker: Broker, shift: Shift) -> None:
        self.broker = broker
        self.shift = shift
        self.pulse: Pulse | None = None  # once joined
        self.renewal: IDelayedCall | None = None
        self.joined_at = 0.0

    def end_renewal(self) -> None:
        if self.renewal is not None and self.renewal.active():
            self.renewal.cancel()


class Session(Service):
    """The worker's life. It joins once the filters are warm, and whenever it is not joined.

    ``joined`` fires when it has joined for the first time, or fails when it never can. ``dismissed``
    fires when the controller asks it to leave: whoever runs it stops it then.
    """

    log = Logger()

    def __init__(
        self, worker: Worker, controller: IStreamClientEndpoint, read_token: Callable[[], JoinToken]
    ) -> None:
        self._worker = worker
        self._clock: IReactorTime = worker.reactor
        self._entrance = Entrance(
            controller, read_token, self._say, self._clock, worker.secured, worker.credential
        )
        caller = Caller(self._clock, self._join, self._lost)
        self._client = ClientService(self._entrance, caller, retryPolicy=self._delay, clock=self._clock)
        self._hello: wire.Hello
        self._link: _Link | None = None
        self._failures = 0  # in a row
        self._hopeless = False  # the last attempt was refused, and another one alone will not help
        self._at_once = False  # there is something new to try
        self._said: set[str] = set()
        self.joined: Deferred[None] = Deferred()
        self.dismissed: Deferred[None] = Deferred()

    def startService(self) -> None:
        super().startService()
        self._worker.gpus.open()
        self._worker.spool.open()
        self._worker.pool.start().addCallback(self._warm).addErrback(self._cannot_work)

    @deferred
    async def stopService(self) -> None:
        """Hand back or finish what is in hand, then go."""
        await maybeDeferred(super().stopService)
        if self._link is not None:
            await self._link.shift.drain()
        await self._disconnect()
        await self._worker.pool.stop()
        self._worker.spool.close()

    def _warm(self, ready: Mapping[str, Any]) -> None:
        self._hello = self._worker.hello(ready)
        if self.running:
            self.log.info(
                "The filters are ready: {filters}; confined by {means}",
                filters=", ".join(ready["filters"]),
                means=" and ".join(ready.get("confined", ())) or "nothing",
            )
            self._client.startService()

    def _cannot_work(self, failure: Failure) -> None:
        self.log.failure("This worker cannot work", failure)
        self.joined.errback(failure)

    def _leave(self) -> None:
        if not self.dismissed.called:
            self.log.info("The controller asks this worker to leave")
            self.dismissed.callback(None)

    async def _disconnect(self) -> None:
        """What has been written is sent; a controller that does not close its side is not waited for."""
        link, closing = self._link, maybeDeferred(self._client.stopService)
        if link is None:
            await closing
            return
        late = self._clock.callLater(_CLOSING_SECONDS, link.broker.drop, "the controller does not close it")
        await closing
        if late.active():
            late.cancel()

    # Joining

    @deferred
    async def _join(self, broker: Broker) -> None:
        shift = Shift(
            cores=self._worker.cores,
            clock=self._clock,
            jitter=self._worker.jitter,
            token_refused=lambda: broker.drop("the API does not know the token any more that we were given"),
            asked_to_leave=self._leave,
            log_jobs=self._worker.log_jobs,
        )
        self._hopeless = False
        self._link = link = _Link(broker, shift)
        root = broker.remoteForName("root")
        key = Key()
        hello = evolve(self._hello, key=key.public()) if self._entrance.secret else self._hello
        arguments = (self._entrance.secret, wire.encode(hello), shift)
        try:
            answer = await call(root, "join", *arguments, clock=self._clock, timeout=JOIN_SECONDS)
            welcome, controller = _welcome(answer)
            broker.trust()
            desk = await self._desk(welcome, controller)
            if self._link is link:
                self._begin(link, welcome, controller, desk)
        except _Certified as given:
            self._entrance.certified(key, given.certificate, given.seconds)
            self._at_once = True
            broker.transport.loseConnection()
        except _NotWelcome as refusal:
            self._refused(refusal)
            broker.transport.loseConnection()
        except DpipError as error:
            broker.drop(f"joining failed: {error}")

    def _refused(self, refusal: _NotWelcome) -> None:
        """Without a certificate that is good the next attempt shows the token again."""
        self._hopeless = not refusal.retry
        if refusal.code == BadCertificate.code:
            self._entrance.credential = None
        self._say(f"The controller does not take this worker: {refusal}")

    async def _desk(self, welcome: wire.Welcome, controller: RemoteReference) -> Desk | None:
        """None when images go over HTTP."""
        if welcome.desk is None:
            return None
        desk = Desk(welcome.desk, controller, self._clock)
        try:
            await desk.prove()
        except NotHere as why:
            self._say(f"This worker does not share the image store's files, and uses HTTP: {why}")
            return None
        return desk

    def _begin(
        self, link: _Link, welcome: wire.Welcome, controller: RemoteReference, desk: Desk | None
    ) -> None:
        worker = self._worker
        store = Store(welcome.image_store_endpoint, welcome.image_store_token, welcome.image_store_authority)
        transfer = Transfer(store, worker.reactor, worker.pool.slots + 2, worker.jitter)
        link.joined_at = self._clock.seconds()
        link.shift.begin(controller, Tools(worker.pool, worker.spool, transfer, welcome, desk))
        link.pulse = Pulse(controller, lambda: self._sample(link.shift), link.broker.drop, self._clock)
        link.pulse.start(welcome.report_seconds)
        self._renew_in_time(link, controller)
        self._said.clear()
        where = f"{store.url}, and in {desk.address.originals}" if desk is not None else store.url
        self.log.info("Joined as {name}; images are at {where}", name=worker.name, where=where)
        if not self.joined.called:
            self.joined.callback(None)

    # The next certificate

    def _renew_in_time(self, link: _Link, controller: RemoteReference) -> None:
        credential = self._entrance.credential
        if credential is not None:
            seconds = max(_LEAST_RENEWAL, credential.renew_at - self._clock.seconds())
            link.renewal = self._clock.callLater(seconds, self._renew, link, controller)

    @deferred
    async def _renew(self, link: _Link, controller: RemoteReference) -> None:
        """When it fails, again in a while: there is half a certificate's life for that."""
        key = Key()
        request = wire.encode(wire.Request(key.public()))
        try:
            answer = await call(controller, "renew", request, clock=self._clock, timeout=JOIN_SECONDS)
            given = wire.decode(answer, wire.Certificate)
        except DpipError as error:
            self.log.warn("The worker's certificate was not renewed: {why}", why=error.detail)
        else:
            self._entrance.certified(key, given.certificate, given.seconds)
        if self._link is link:
            self._renew_in_time(link, controller)

    def _sample(self, shift: Shift) -> Deferred[Load]:
        worker = self._worker
        return worker.in_thread(
            worker.sampler.sample, worker.pool.pids(), shift.running(), worker.pool.idle_percent()
        )

    # Losing the link, and trying again

    def _lost(self, broker: Broker, reason: Failure) -> None:
        link, self._link = self._link, None
        if link is not None:
            link.end_renewal()
            link.shift.abandon()
        if link is not None and link.pulse is not None:
            link.pulse.stop()
            lasted = self._clock.seconds() - link.joined_at >= _SETTLED_SECONDS
            self._failures = 0 if lasted else self._failures + 1
            self.log.info("The link to the controller has ended")
            return
        if self._at_once:
            return
        self._failures += 1
        if reason.check(WrongController):
            self._say(str(reason.value))
        elif not self._hopeless:
            self._say(f"The connection was closed before we had joined: {reason.getErrorMessage()}")

    def _delay(self, attempt: int) -> float:
        if self._at_once:
            self._at_once = False
            return 0.0
        attempts = max(attempt, self._failures)
        hopeless = self._hopeless or attempts > _PATIENT
        seconds = _HOPELESS_DELAY if hopeless else min(_MAX_DELAY, _FIRST_DELAY * 2 ** min(10, attempts))
        return seconds * (0.5 + self._worker.jitter())

    def _say(self, words: str) -> None:
        """Once between two joinings: a worker that waits for hours must not fill the log."""
        if words not in self._said and len(self._said) < _MAX_SAID and self.running:
            self._said.add(words)
            self.log.info("{words}", words=words)


class _Certified(Exception):
    """The controller has given us a certificate, to come back with."""

    def __init__(self, given: wire.Certificate) -> None:
        super().__init__("Come back with this certificate.")
        self.certificate, self.seconds = given.certificate, given.seconds


class _NotWelcome(Exception):
    """The controller refuses; ``retry`` says whether trying again can help by itself."""

    def __init__(self, refusal: wire.Refusal) -> None:
        super().__init__(refusal.reason)
        self.code, self.retry = refusal.code, refusal.retry


def _welcome(answer: object) -> tuple[wire.Welcome, RemoteReference]:
    """Raises _Certified, _NotWelcome, Malformed."""
    match answer:
        case (bytes() as data, RemoteReference() as controller):
            return wire.decode(data, wire.Welcome), controller
        case (bytes() as data, None):
            said = wire.decode_either(data, wire.Certificate, wire.Refusal)
            raise _Certified(said) if isinstance(said, wire.Certificate) else _NotWelcome(said)
    raise Malformed("The controller's answer makes no sense: it may be of another version.")

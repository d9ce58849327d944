"""A worker: it compiles its filters, joins the controller, and runs jobs while it is joined."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import define, evolve, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread.pb import RemoteReference

from dpip import __version__
from dpip.errors import BadCertificate, DpipError
from dpip.link import worker_messages as wire
from dpip.link.broker import JOIN_SECONDS, Broker, call
from dpip.link.certificates import Key
from dpip.link.connector import Connector
from dpip.link.session import JoinedSession, NotJoined
from dpip.model import Load
from dpip.runtime.coroutines import deferred
from dpip.worker.attempt import AttemptContext
from dpip.worker.engine import IEngine
from dpip.worker.heartbeat import Heartbeat
from dpip.worker.job_runner import JobRunner
from dpip.worker.local_transfer import LocalTransfer, NotOnThisMachine
from dpip.worker.resources import Gpus, Sampler
from dpip.worker.spool import Spool
from dpip.worker.transfer import ApiAddress, Transfer

_QUICK_ATTEMPTS: Final = 100
"""Failed attempts to join before they become rare."""
_CONNECTIONS: Final = 32
"""For images, where slots may become more after it has joined."""
_LEAST_RENEWAL: Final = 1.0
"""Seconds between attempts to renew the certificate."""


@define(eq=False, slots=False)
class WorkerSession(Service):
    """Joins the controller as the worker ``worker_name`` once the filters are warm, and runs its jobs.

    ``in_thread`` runs a function off the reactor's thread. ``joined`` fires when it has joined for the first
    time, or fails when it never can. ``dismissed`` fires when the controller asks it to leave; the process
    that runs it is then to stop it.
    """

    log = Logger()

    connector: Connector
    worker_name: str
    machine: str
    tags: tuple[str, ...]
    cores: int
    gpus: Gpus
    engine: IEngine
    spool: Spool
    sampler: Sampler
    reactor: Any
    in_thread: Callable[..., Deferred[Any]]
    jitter: Callable[[], float]
    local_store: bool = False  # share the image store's files, where it is on this machine
    log_jobs: bool = False
    joined: Deferred[None] = field(init=False)
    dismissed: Deferred[None] = field(factory=Deferred, init=False)
    _session: JoinedSession = field(init=False)
    _hello: wire.WorkerHello = field(init=False)
    _runner: JobRunner | None = field(default=None, init=False)  # while joined
    _renewal: IDelayedCall | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._session = JoinedSession(self.connector, self._join, self.jitter, _QUICK_ATTEMPTS)
        self.joined = self._session.joined

    def startService(self) -> None:
        super().startService()
        self.gpus.open()
        self.spool.open()
        self.engine.start().addCallback(self._warm).addErrback(self._cannot_work)

    @deferred
    async def stopService(self) -> None:
        """Finish or hand back the jobs, and end the link and the compute children."""
        await maybeDeferred(super().stopService)
        if self._runner is not None:
            await self._runner.drain()
        await self._session.stopService()
        await self.engine.stop()
        self.spool.close()

    def _warm(self, ready: Mapping[str, Any]) -> None:
        self._hello = self.hello(ready)
        if self.running:
            confined = ready.get("confined", {})
            self.log.info(
                "The filters are ready: {filters}; confined by {means}",
                filters=", ".join(ready["filters"]),
                means=" and ".join(confined.get("means", ())) or "nothing",
            )
            for sentence in confined.get("missing", ()):
                self.log.warn("{sentence}", sentence=sentence)
            self._session.startService()

    def _cannot_work(self, failure: Failure) -> None:
        self.log.failure("This worker cannot work", failure)
        self.joined.errback(failure)

    def _leave(self) -> None:
        if not self.dismissed.called:
            self.log.info("The controller asks this worker to leave")
            self.dismissed.callback(None)

    # Joining

    def hello(self, ready: Mapping[str, Any]) -> wire.WorkerHello:
        """Return the message to join with. ``ready`` is what the first compute child reported."""
        return wire.WorkerHello(
            name=self.worker_name,
            version=__version__,
            machine=self.machine,
            slots=self.engine.slots,
            capacity=4 * self.engine.most_slots + 16,  # of short jobs: the scheduler sends half a second's
            tags=self.tags,
            filters=dict(ready["filters"]),
            has_gpu=bool(ready.get("gpu")),  # one that filters; NVML may list others
            fingerprint=ready["fingerprint"],
            local_store=self.local_store,
        )

    @deferred
    async def _join(self, broker: Broker) -> None:
        """Join by this connection. Raises NotJoined or DpipError."""
        runner = JobRunner(
            cores=self.cores,
            clock=self.reactor,
            jitter=self.jitter,
            token_refused=lambda: broker.drop("the API does not know the token any more that we were given"),
            asked_to_leave=self._leave,
            log_jobs=self.log_jobs,
        )
        welcome, controller = await self._introduce(broker, runner)
        local_transfer = await self._prove_local_transfer(welcome, controller)
        if not broker.disconnected:
            self._begin(broker, runner, welcome, controller, local_transfer)

    async def _introduce(
        self, broker: Broker, runner: JobRunner
    ) -> tuple[wire.WorkerWelcome, RemoteReference]:
        """Send the hello, and return the welcome and the controller's object.

        Raises NotJoined or DpipError. Without a valid certificate the next attempt sends the token again.
        """
        key = Key()
        hello = evolve(self._hello, key=key.public()) if self.connector.secret else self._hello
        data, controller = await self._session.ask(broker, "join", wire.encode(hello), runner)
        if controller is not None:
            return wire.decode(data, wire.WorkerWelcome), controller
        answer = wire.decode_either(data, wire.Certificate, wire.WorkerRefusal)
        if isinstance(answer, wire.Certificate):
            self.connector.certified(key, answer.certificate, answer.seconds)
            raise NotJoined("The worker comes back with the certificate that it was given.", retry=True)
        if answer.code == BadCertificate.code:
            self.connector.credential = None
        raise NotJoined(f"The controller does not take this worker: {answer.reason}", answer.retry)

    async def _prove_local_transfer(
        self, welcome: wire.WorkerWelcome, controller: RemoteReference
    ) -> LocalTransfer | None:
        """Return the local transfer, None when images go over HTTP."""
        if welcome.transfer_paths is None:
            return None
        local_transfer = LocalTransfer(welcome.transfer_paths, controller, self.reactor)
        try:
            await local_transfer.prove()
        except NotOnThisMachine as why:
            self._session.log_once(
                f"This worker does not share the image store's files, and uses HTTP: {why}"
            )
            return None
        return local_transfer

    def _begin(
        self,
        broker: Broker,
        runner: JobRunner,
        welcome: wire.WorkerWelcome,
        controller: RemoteReference,
        local_transfer: LocalTransfer | None,
    ) -> None:
        url, token = welcome.image_store_endpoint, welcome.image_store_token
        api = ApiAddress(url, token, welcome.image_store_authority)
        transfer = Transfer(api, self.reactor, self._connections(), self.jitter)
        heartbeat = Heartbeat(controller, lambda: self._sample(runner), broker.drop, self.reactor)
        self._runner = runner
        broker.on_lost(lambda: self._left(runner, heartbeat))
        runner.begin(controller, AttemptContext(self.engine, self.spool, transfer, welcome, local_transfer))
        heartbeat.start(welcome.report_seconds)
        self._renew_in_time(controller)
        where = f"{url}, and in {local_transfer.paths.originals}" if local_transfer is not None else url
        self.log.info("Joined as {name}; images are at {where}", name=self.worker_name, where=where)

    def _connections(self) -> int:
        """Return how many images may be under way at once."""
        slots: int = max(self.engine.slots, min(self.engine.most_slots, _CONNECTIONS))
        return slots + 2

    def _sample(self, runner: JobRunner) -> Deferred[Load]:
        load = self.in_thread(
            self.sampler.sample, self.engine.pids(), runner.running(), self.engine.idle_percent()
        )
        return load.addCallback(self.engine.reckoned)

    def _left(self, runner: JobRunner, heartbeat: Heartbeat) -> None:
        self._runner = None
        if self._renewal is not None and self._renewal.active():
            self._renewal.cancel()
        runner.abandon()
        heartbeat.stop()
        self.log.info("The link to the controller has ended")

    # The next certificate

    def _renew_in_time(self, controller: RemoteReference) -> None:
        credential = self.connector.credential
        if credential is not None and not controller.broker.disconnected:
            seconds = max(_LEAST_RENEWAL, credential.renew_at - self.reactor.seconds())
            self._renewal = self.reactor.callLater(seconds, self._renew, controller)

    @deferred
    async def _renew(self, controller: RemoteReference) -> None:
        """Ask for a new certificate, and again later if that fails: half of the old one's life is left."""
        key = Key()
        request = wire.encode(wire.CertificateRequest(key.public()))
        try:
            answer = await call(controller, "renew", request, clock=self.reactor, timeout=JOIN_SECONDS)
            given = wire.decode(answer, wire.Certificate)
        except DpipError as error:
            self.log.warn("The worker's certificate was not renewed: {why}", why=error.detail)
        else:
            self.connector.certified(key, given.certificate, given.seconds)
        self._renew_in_time(controller)

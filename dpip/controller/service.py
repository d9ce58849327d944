"""Starts the controller's parts in order, and stops them in order."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from attrs import define, field, frozen
from filelock import FileLock, Timeout
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.ssl import CertificateOptions
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory

from dpip.controller.accounts import Accounts
from dpip.controller.api_children import SOCKET, ApiChildren
from dpip.controller.api_processes import ApiProcesses
from dpip.controller.feed import Feed
from dpip.controller.options import ControllerOptions
from dpip.controller.term import Term
from dpip.controller.workers import Workers
from dpip.datastore.database import Database, SqliteDatabase
from dpip.datastore.datastore import Datastore
from dpip.datastore.leadership import Leadership
from dpip.datastore.postgres import PostgresDatabase
from dpip.errors import DpipError
from dpip.link.certificates import Authority, Presented, presented_over
from dpip.link.join_token import write_secret
from dpip.model import Role
from dpip.runtime.addresses import is_loopback
from dpip.runtime.coroutines import deferred
from dpip.runtime.options import certificate_hosts
from dpip.runtime.startup import CannotStart, cannot_listen
from dpip.runtime.threads import Threads
from dpip.scheduler.service import Scheduler

T = TypeVar("T")


def over_tls(tls: CertificateOptions, factory: IProtocolFactory) -> IProtocolFactory:
    """A factory whose connections are the given one's, over TLS."""
    return TLSMemoryBIOFactory(tls, False, factory)


@frozen
class Parts:
    """The parts that the builder has made."""

    datastore: Datastore
    telemetry: IService
    image_store: IService
    hashing: Threads
    accounts: Accounts
    scheduler: Scheduler
    workers: Workers
    apis: ApiProcesses
    feed: Feed
    webhooks: IService
    site: IProtocolFactory
    housekeeping: IService


@define(eq=False, slots=False)
class ControllerService(Service):
    """REST API, controller, scheduler and the workers' port.

    ``build`` makes the parts once the authority is there; ``secured`` puts TLS around a factory, and
    ``presented`` gives the certificate that the other end of a transport has shown. ``restart_worker`` is for
    a worker in this process, see :class:`dpip.controller.core.Controller`. ``ready`` fires when
    everything can be used, or fails with the reason why it cannot start; ``api_url`` and ``workers_port`` are
    set then.
    """

    log = Logger()

    options: ControllerOptions
    reactor: Any
    build: Callable[[ControllerService], Parts]
    secured: Callable[[CertificateOptions, IProtocolFactory], IProtocolFactory] = over_tls
    presented: Callable[[Any], Presented | None] = presented_over
    restart_worker: Callable[[str], bool] = lambda _: False
    ready: Deferred[None] = field(factory=Deferred, init=False)
    api_url: str = field(default="", init=False)
    workers_port: int = field(default=0, init=False)
    authority: Authority = field(init=False)
    database: Database = field(init=False)
    term: Term | None = field(default=None, init=False)
    _lock: FileLock = field(init=False)
    _parts: Parts = field(init=False)
    _ports: list[IListeningPort] = field(factory=list, init=False)
    _children: ApiChildren | None = field(default=None, init=False)

    @property
    def state(self) -> Path:
        """The state directory."""
        return Path(self.options["state-dir"])

    @property
    def _first_password(self) -> Path:
        return self.state / "admin-password"

    @property
    def first_password_at(self) -> str | None:
        """Where the first start has left the first password, as long as the file is there."""
        return str(self._first_password) if self._first_password.exists() else None

    def startService(self) -> None:
        """Do at once what blocks briefly, before the reactor has other work. Raises CannotStart."""
        super().startService()
        self._lock = self._used(self._locked)
        if url := self.options["database"]:
            self.database = database = PostgresDatabase(url, Leadership())
            self.term = Term(database, self.reactor, self.state)
            starting = self._start_when_leading(self.term)
        else:
            self.database = SqliteDatabase(self.state / "dpip.sqlite")
            starting = self._start(self._used(self._open))
        Deferred.fromCoroutine(starting).chainDeferred(self.ready)

    def _used(self, use: Callable[[], T]) -> T:
        """Do what uses the state directory. Raises CannotStart."""
        try:
            return use()
        except (OSError, DpipError) as error:
            raise CannotStart(f"The state directory {self.state} cannot be used: {error}") from error

    async def _start_when_leading(self, term: Term) -> None:
        if not await term.begin():
            return
        try:
            term.take_secrets()
        except DpipError as error:
            raise CannotStart(error.detail) from error
        parts = self._used(self._open)
        term.keep_secrets()
        term.keep(parts.datastore)
        await self._start(parts)

    def _locked(self) -> FileLock:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        return _locked(self.state)

    def _open(self) -> Parts:
        self.authority = Authority.load_or_create(
            self.state, self.reactor.seconds(), certificate_hosts(self.options)
        )
        self._parts = parts = self.build(self)
        parts.datastore.startService()
        parts.telemetry.startService()
        parts.image_store.startService()
        parts.hashing.start()
        return parts

    async def _start(self, parts: Parts) -> None:
        await parts.datastore.recover(self.reactor.seconds())
        await self._ensure_admin(parts)
        parts.scheduler.startService()  # it is told of waiting jobs while the API already takes uploads
        parts.workers.start()
        pb = await self._listen(
            "pb", self.secured(self.authority.workers_options(), parts.workers.server_factory)
        )
        tls = self.authority.server_options()
        site = self.secured(tls, parts.site) if self.options["http-tls"] else parts.site
        http = await self._listen("http", site)
        self.api_url = self._listening_url("127.0.0.1", http)
        self.workers_port = getattr(pb.getHost(), "port", 0)
        if self.options["api-processes"]:
            self._start_children(http, pb)
            await parts.apis.serving
        parts.housekeeping.startService()
        parts.webhooks.startService()
        self.log.info("Ready: API at {url}, workers join at {pb}", url=self.api_url, pb=_shown(pb))

    def _start_children(self, http: Any, pb: IListeningPort) -> None:
        """Start the API processes; from now on they accept from our socket, and we do not."""
        http.stopReading()
        host = getattr(pb.getHost(), "host", "")
        # A socket of ours that listens everywhere is reached on loopback.
        everywhere = ("", "0.0.0.0", "::")  # noqa: S104  # nosec B104
        host = "127.0.0.1" if host in everywhere else host
        link = f"{f'[{host}]' if ':' in host else host}:{self.workers_port}"
        self._children = ApiChildren(
            self.reactor,
            self.options["api-processes"],
            http.fileno(),
            lambda number: self.options.child_arguments(number, link, SOCKET),
        )
        self._children.startService()

    async def _listen(self, option: str, factory: IProtocolFactory) -> IListeningPort:
        endpoint = serverFromString(self.reactor, self.options[option].endpoint)
        try:
            port: IListeningPort = await endpoint.listen(factory)
        except CannotListenError as error:
            raise cannot_listen(option, error) from None
        self._ports.append(port)
        return port

    async def _ensure_admin(self, parts: Parts) -> None:
        """Make a user at the first start, so that somebody can log in."""
        if await parts.datastore.users():
            return
        password = os.environ.get("DPIP_ADMIN_PASSWORD")
        if not password:
            password = secrets.token_urlsafe(12)
            path = self._first_password
            write_secret(path, f"{password}\n".encode())
            self.log.info("The first user is named admin; its password is in {path}", path=str(path))
        await parts.accounts.add_user("admin", password, Role.ADMIN, None)

    def url_for(self, host: str) -> str:
        """The API's URL for clients that reach this machine at ``host``."""
        return str(self.options["api-url"] or "").rstrip("/") or self._listening_url(host, self._ports[-1])

    def _listening_url(self, host: str, port: IListeningPort) -> str:
        """The URL of a port at ``host``, or where it listens if loopback does not lead there."""
        interface = self.options["http"]
        if is_loopback(host.strip("[]")) and interface.host and not interface.loopback:
            host = f"[{interface.host}]" if ":" in interface.host else interface.host
        scheme = "https" if self.options["http-tls"] or interface.tls else "http"
        return f"{scheme}://{host}:{getattr(port.getHost(), 'port', 0)}"

    @deferred
    async def stopService(self) -> None:
        """Stop: take nothing new, make durable what was promised, then close the files."""
        await maybeDeferred(super().stopService)
        if not hasattr(self, "_parts"):
            if self.term is not None:
                self.term.end()
            return
        parts = self._parts
        if self._children is not None:
            await maybeDeferred(self._children.stopService)
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        for chore in (parts.housekeeping, parts.webhooks):
            if chore.running:
                await maybeDeferred(chore.stopService)
        parts.feed.stop()
        parts.apis.stop()
        parts.workers.stop()
        await self._record_that_all_left(parts.datastore)
        for part in (parts.scheduler, parts.image_store, parts.telemetry, parts.datastore):
            await maybeDeferred(part.stopService)
        parts.hashing.stop()
        if self.term is not None:
            self.term.end()
        self._lock.release()

    async def _record_that_all_left(self, datastore: Datastore) -> None:
        """Whoever reads the database now finds nobody joined. After a crash the next start records it."""
        try:
            await datastore.all_workers_left(self.reactor.seconds())
        except DpipError as error:
            self.log.warn("Workers stay recorded as joined until the next start: {why}", why=error.detail)


def _locked(state: Path) -> FileLock:
    lock = FileLock(state / "lock", mode=0o600, blocking=False, thread_local=False)
    try:
        lock.acquire()
    except Timeout:
        raise CannotStart(
            f"{state} is in use by another controller. End that one first, or use another --state-dir."
        ) from None
    return lock


def _shown(port: IListeningPort) -> str:
    address = port.getHost()
    return f"{getattr(address, 'host', address)}:{getattr(address, 'port', '')}"

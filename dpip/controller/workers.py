"""The workers' port: which workers may join, which have joined, and what they tell the other parts.

A client that has shown no certificate of ours can only get one for the join token, to come back with.

The scheduler hears of a worker with its first report. So the welcome always arrives before the first job, and
the scheduler knows a load of every worker.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Final

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.controller.api_processes import ApiProcesses
from dpip.controller.certificates import Certificates
from dpip.controller.joining import JoinTerms, Newcomer, examined, refusal
from dpip.controller.local_results import LocalResults
from dpip.controller.worker_link import WorkerLink
from dpip.errors import DpipError, Malformed, NameTaken, NotFound, RetryLater
from dpip.interfaces import IDatastore, IScheduler, ITelemetry
from dpip.link import worker_messages as wire
from dpip.link.broker import Broker, Callee, LinkLost, LinkServerFactory
from dpip.link.certificates import Presented
from dpip.link.join_token import BadToken
from dpip.model import Activity, Load, Outcome, Principal, WorkerState
from dpip.runtime.allowance import Allowances
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Meters
from dpip.scheduler.datastore_writes import Persistence


@define(eq=False, slots=False)
class _Root(Callee):
    """What a client that has not joined may call, once."""

    _workers: Workers
    _broker: Broker
    _asked: bool = field(default=False, init=False)

    def remote_join(
        self, secret: object, hello: object, agent: object
    ) -> Deferred[tuple[bytes, WorkerLink | None]]:
        return self._workers.join(self._broker, *self._checked(secret, hello, agent))

    def remote_serve(self, secret: object, hello: object, peer: object) -> tuple[bytes, Callee | None]:
        """Let an API process join."""
        if self._workers.apis is None:
            raise Malformed("No API process may join here.")
        return self._workers.apis.join(self._broker, *self._checked(secret, hello, peer))

    def _checked(
        self, secret: object, hello: object, theirs: object
    ) -> tuple[bytes, object, RemoteReference]:
        if self._asked or not isinstance(secret, bytes) or not isinstance(theirs, RemoteReference):
            raise Malformed("Join once, with a secret, a hello and an object to call.")
        self._asked = True
        return secret, hello, theirs


EXCESS: Final = 1024.0
EXCESS_EACH_SECOND: Final = 64.0
"""Of what an honest worker says seldom: so much at once, and so much again and again, is no offence."""
JOININGS: Final = 20.0
JOININGS_EACH_SECOND: Final = 0.2
"""Of one worker: each is two commits and two lines of the log."""
MAX_OFFENCES: Final = 3
SUSPENDED_SECONDS: Final = 600.0
"""A worker that has sent so many messages that no honest one sends is kept out for so long."""


@define(eq=False, slots=False, kw_only=True)
class Workers:
    """The joined workers. ``new_id`` names sessions, ``new_token`` makes the secrets by which the API knows
    workers. ``changed`` is called when one joins, reports or goes."""

    log = Logger()

    _certificates: Certificates
    _scheduler: IScheduler
    _datastore: IDatastore
    _telemetry: ITelemetry
    _clock: IReactorTime
    _new_id: Callable[[], str]
    _new_token: Callable[[], str]
    _terms: JoinTerms
    _local_results: LocalResults | None = None
    apis: ApiProcesses | None = None
    _changed: Callable[[WorkerState], object] = field(default=lambda _: None)
    _meters: Meters = field(factory=Meters)
    server_factory: LinkServerFactory = field(init=False)
    _links: dict[str, WorkerLink] = field(factory=dict, init=False)  # by the worker's name
    _principals: dict[bytes, Principal] = field(factory=dict, init=False)  # by the digest of its token
    _joining: set[str] = field(factory=set, init=False)  # names
    _leaving: set[str] = field(factory=set, init=False)  # sessions that have said so
    _offences: Counter[str] = field(factory=Counter, init=False)
    _excess: Allowances = field(init=False)
    _joinings: Allowances = field(init=False)
    _persistence: Persistence = field(init=False)
    _heartbeat: LoopingCall = field(init=False)
    _due: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self.server_factory = LinkServerFactory(lambda broker: _Root(self, broker), self._clock)
        self._excess = Allowances(self._clock.seconds, EXCESS, EXCESS_EACH_SECOND)
        self._joinings = Allowances(self._clock.seconds, JOININGS, JOININGS_EACH_SECOND)
        self._persistence = Persistence(self._clock, self.log)
        self._heartbeat = LoopingCall(self._interval_passed)
        self._heartbeat.clock = self._clock

    def start(self) -> None:
        """Begin to watch over the links."""
        self._due = self._clock.seconds() + self._terms.report_seconds
        self._heartbeat.start(self._terms.report_seconds, now=False)

    def stop(self) -> None:
        """Drop every link. The scheduler does not hear of it, since the controller is closing."""
        if self._heartbeat.running:
            self._heartbeat.stop()
        self._persistence.stop()
        self._links.clear()
        self._principals.clear()
        self.server_factory.close("the controller is shutting down")

    def authenticate_worker(self, token: str) -> Principal | None:
        """The joined worker that was given this token, or None."""
        return self._principals.get(_digest(token))

    def session_of(self, name: str) -> str | None:
        """The session of a joined worker."""
        link = self._links.get(name)
        return None if link is None else link.session

    def tags(self) -> set[str]:
        """All tags of joined workers."""
        return {tag for link in self._links.values() for tag in link.info.tags}

    def links(self) -> list[WorkerLink]:
        """The links of the workers that the scheduler knows."""
        return [link for link in self._links.values() if link.known]

    # Joining

    @deferred
    async def join(
        self, broker: Broker, secret: bytes, hello: object, agent: RemoteReference
    ) -> tuple[bytes, WorkerLink | None]:
        """Answer with a welcome and the link, or with a certificate to come back with, or with a refusal."""
        try:
            shown = self._certificates.shown(broker)
            if shown is not None:
                return await self._joined(broker, shown, examined(hello, self._terms), agent)
            answer: wire.Certificate | wire.WorkerRefusal = await self._certified(broker, secret, hello)
        except LinkLost:
            raise
        except (DpipError, BadToken) as error:
            self.server_factory.log_line(f"Worker at {broker.peer} may not join: {error}")
            answer = refusal(error)
        broker.part()
        return wire.encode(answer), None

    async def _certified(self, broker: Broker, secret: bytes, hello: object) -> wire.Certificate:
        """The certificate that is given for the join token's secret."""
        token = self._certificates.admit(secret)
        newcomer = examined(hello, self._terms)
        return await self._certificates.issue(newcomer.info.name, newcomer.key, broker.peer, token)

    async def _joined(
        self, broker: Broker, shown: Presented, newcomer: Newcomer, agent: RemoteReference
    ) -> tuple[bytes, WorkerLink]:
        name = newcomer.info.name
        if name in self._joining:
            raise NameTaken(f"Another worker named {name} is just joining.")
        if not self._joinings.is_left(name):
            raise RetryLater(f"Worker {name} joins too often: something ends its connections.")
        self._joining.add(name)
        try:
            return await self._welcomed(broker, shown, newcomer, agent)
        finally:
            self._joining.discard(name)
            if name not in self._links:
                self._remember_as_gone(name)

    async def _welcomed(
        self, broker: Broker, shown: Presented, newcomer: Newcomer, agent: RemoteReference
    ) -> tuple[bytes, WorkerLink]:
        info = newcomer.info
        await self._make_room_for(info.name)
        await self._datastore.worker_joined(info, broker.peer, self._clock.seconds(), shown.serial)
        if broker.disconnected:
            raise LinkLost("It left while it was joining.")
        link = WorkerLink(self._new_id(), info, shown, broker, agent, self, self._clock)
        token = self._new_token()
        self._links[info.name] = link
        self._principals[_digest(token)] = link.principal
        if self._local_results and newcomer.wants_local_transfer:
            link.transfer_directory = self._local_results.open_directory()
        broker.on_lost(lambda: self._lost(link, token))
        broker.trust()
        self._changed(WorkerState(info.name, joined=True))
        self._record("worker-joined", info.name, address=broker.peer, version=info.version)
        self.log.info("Worker {name} has joined from {peer}", name=info.name, peer=broker.peer)
        return wire.encode(self._welcome(link, token, broker.transport.getHost())), link

    def _welcome(self, link: WorkerLink, token: str, reached_at: object) -> wire.WorkerWelcome:
        host = getattr(reached_at, "host", "127.0.0.1")
        link.api_url = self._terms.api_url(f"[{host}]" if ":" in host else host)
        return wire.WorkerWelcome(
            image_store_endpoint=link.api_url,
            image_store_token=token,
            image_store_authority=self._terms.api_authority,
            report_seconds=self._terms.report_seconds,
            job_seconds=self._terms.job_seconds,
            max_pixels=self._terms.max_pixels,
            transfer_paths=self._local_results.paths_of(link.transfer_directory)
            if self._local_results and link.transfer_directory
            else None,
        )

    async def _make_room_for(self, name: str) -> None:
        """Drop an earlier worker of this name that does not answer. Raises NameTaken when it does."""
        old = self._links.get(name)
        if old is None:
            return
        if await old.is_alive():
            raise NameTaken(
                f"A worker named {name} has already joined and is alive: choose another --worker-name."
            )
        if self._links.get(name) is old:
            old.drop("it does not answer, and another worker of its name wants to join")
            self._forget(old)

    def dismiss(self, name: str) -> None:
        """Give the worker no more jobs, and ask it to end. Raises NotFound when it has not joined."""
        link = self._links.get(name)
        if link is None:
            raise NotFound(f"No worker named {name[:64]!r} has joined.")
        if link.known:
            self._scheduler.worker_leaving(link.session)
        link.dismiss()

    def leave_api(self, url: str) -> None:
        """Drop the workers that use an API address where nobody serves: they join again, and get another."""
        for link in list(self._links.values()):
            if link.api_url == url:
                link.drop("the API process that it used is gone")

    def expel(self, name: str) -> None:
        """End the link of a revoked worker, if it has one, and with it its leases and its token."""
        link = self._links.get(name)
        if link is not None:
            link.drop("an admin has revoked it")
            self._principals = {key: who for key, who in self._principals.items() if who != link.principal}
            self._forget(link)

    def accuse(self, by: Principal, what: str) -> None:
        """Charge a worker with an offence that it has sent over HTTP. One whose link is gone has no token."""
        link = self._links.get(by.name)
        if link is not None and link.principal == by:
            link.offend(what)

    # What workers tell (dpip.controller.worker_link.Listener)

    def load_reported(self, link: WorkerLink, load: Load) -> None:
        if self._links.get(link.info.name) is not link:
            return
        if not link.known:
            link.known = True
            self._scheduler.worker_joined(link.session, link.info, link)
        self._scheduler.worker_reported(link.session, load)
        self._telemetry.sample(link.info.name, self._clock.seconds(), load)
        self._changed(WorkerState(link.info.name, True, load))

    def attempts_ended(self, link: WorkerLink, endings: Sequence[wire.AttemptEnding]) -> None:
        for end in endings if link.known else ():
            self._meters.job_ended(end.outcome, end.seconds)
            held = self._scheduler.leased(link.session, end.lease)
            if held is not None and end.outcome is not Outcome.DONE:  # a result has been counted as it came
                self._meters.attempt_ended(link.info.name, [name for name, _ in held.steps], end.outcome)
            self._scheduler.job_ended(link.session, end.lease, end.outcome, end.code, end.detail, end.seconds)

    def worker_leaving(self, link: WorkerLink) -> None:
        link.leaving = True
        self.log.info("Worker {name} is leaving", name=link.info.name)
        self._leaving.add(link.session)
        if link.known:
            self._scheduler.worker_leaving(link.session)

    def check_transfer(self, link: WorkerLink) -> None:
        """Raises NotFound, Malformed when the worker does not share the image store's files."""
        if link.transfer_directory is None:
            raise Malformed("This worker was given no transfer directory.")
        link.transfer_directory.check_answer()
        link.shares_store = True
        self.log.info("Worker {name} is on this machine, and shares the image store", name=link.info.name)

    def keep_results(self, link: WorkerLink, results: Sequence[wire.ResultFile]) -> Deferred[wire.Receipts]:
        """Raises Malformed."""
        if self._local_results is None or link.transfer_directory is None or not link.shares_store:
            raise Malformed("This worker has not proved that it shares the image store.")
        return self._local_results.keep_results(link.principal, link.transfer_directory, results)

    def may_exceed(self, link: WorkerLink, amount: float) -> bool:
        return self._excess.take(link.info.name, amount)

    def record_offence(self, link: WorkerLink) -> bool:
        """Count an offence, whatever link it came by; after too many the worker may not join for a while.

        Whether there were too many.
        """
        name, until = link.info.name, None
        self._offences[name] += 1
        if self._offences[name] > MAX_OFFENCES:
            del self._offences[name]
            until = self._clock.seconds() + SUSPENDED_SECONDS
        self._persistence.insist(lambda: self._datastore.worker_offended(name, until), lambda _: None)
        return until is not None

    @deferred
    async def renew_certificate(self, link: WorkerLink, key: str) -> wire.Certificate:
        """Raises Malformed, BadCertificate, RetryLater."""
        answer, link.shown = await self._certificates.renew(link.info.name, key, link.address, link.shown)
        return answer

    # The end of a link

    def _interval_passed(self) -> None:
        now = self._clock.seconds()
        self._meters.reactor.observe(max(0.0, now - self._due))
        self._due = now + self._terms.report_seconds
        for link in list(self._links.values()):
            link.interval_passed()

    def _lost(self, link: WorkerLink, token: str) -> None:
        self._principals.pop(_digest(token), None)
        if self.apis is not None:
            self.apis.forget_tokens(link.info.name)  # a process that does not confirm it is dropped
        if self._local_results is not None and link.transfer_directory is not None:
            self._local_results.close_directory(link.transfer_directory)
        if self._links.get(link.info.name) is link:
            self.log.info("Worker {name} {how}", name=link.info.name, how=link.how_it_ended)
            self._forget(link)

    def _forget(self, link: WorkerLink) -> None:
        del self._links[link.info.name]
        self._changed(WorkerState(link.info.name, joined=False))
        self._record("worker-left" if link.session in self._leaving else "worker-lost", link.info.name)
        self._leaving.discard(link.session)
        self._meters.worker_gone(link.info.name)
        if link.known:
            link.known = False
            self._scheduler.worker_lost(link.session)
        self._remember_as_gone(link.info.name)

    def _record(self, action: str, name: str, **detail: str) -> None:
        """Add to the activity record, which is the worker's history. The log has it, too."""
        entry = Activity(self._clock.seconds(), "dpip", action, name, detail)
        kept = self._datastore.record(entry)
        kept.addErrback(lambda why: self.log.warn("Not in the activity record: {why}", why=why.value))

    def _remember_as_gone(self, name: str) -> None:
        """Record that it has left, however many tries that takes, unless it joins again meanwhile."""
        at = self._clock.seconds()

        def left() -> Deferred[None]:
            back = name in self._links or name in self._joining
            return succeed(None) if back else self._datastore.worker_left(name, at)

        self._persistence.insist(left, lambda _: None)


def _digest(token: str) -> bytes:
    """The key to look a token up by: the time that takes says nothing about other tokens."""
    return hashlib.sha256(token.encode()).digest()

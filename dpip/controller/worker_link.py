"""The controller's link to one joined worker: what the worker tells, and what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, Protocol, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, FirstError, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference
from zope.interface import implementer

from dpip.errors import DpipError, Malformed
from dpip.interfaces import IWorkerLink
from dpip.link import worker_messages as wire
from dpip.link.broker import Broker, Callee, CallTimeout, call, notify
from dpip.link.certificates import Presented
from dpip.model import Lease, LeasedJob, Load, Outcome, Principal, Role, WorkerInfo
from dpip.runtime.coroutines import deferred
from dpip.store.local_transfer import TransferDirectory

RUN_SECONDS: Final = 10.0
"""A worker that has not confirmed its jobs within this time is dropped."""
PING_SECONDS: Final = 3.0
THUMBNAIL_SECONDS: Final = 30.0
MAX_SILENCE: Final = 3
"""Intervals without a report: with 4 s between reports a dead link is dropped after 8 to 12 s."""
MOST_REPORTS: Final = 16
"""Reports in one interval that are looked at: one is asked for, and some may have been held up."""
RESULTS_EACH: Final = 4
"""Times that a result may be delivered: the disk may be full."""
REPORT_COST: Final = 64.0
RENEWAL_COST: Final = 256.0
"""What surplus messages count for beside the end of an attempt."""
_JPEGS: Final = (b"\xff\xd8\xff", b"")  # the first bytes of a JPEG, or of none

T = TypeVar("T")


class Listener(Protocol):
    """What is called with a worker's messages."""

    def load_reported(self, link: WorkerLink, load: Load) -> None: ...
    def attempts_ended(self, link: WorkerLink, endings: Sequence[wire.AttemptEnding]) -> None: ...
    def worker_leaving(self, link: WorkerLink) -> None: ...
    def check_transfer(self, link: WorkerLink) -> None: ...
    def renew_certificate(self, link: WorkerLink, key: str) -> Deferred[wire.Certificate]: ...
    def keep_results(
        self, link: WorkerLink, results: Sequence[wire.ResultFile]
    ) -> Deferred[wire.Receipts]: ...
    def may_exceed(self, link: WorkerLink, amount: float) -> bool:
        """It does what an honest worker does now and then; whether that is not too often."""

    def record_offence(self, link: WorkerLink) -> bool:
        """It sent what no honest worker sends; whether that was too often."""


@implementer(IWorkerLink)
@define(eq=False, slots=False)
class WorkerLink(Callee):
    """``session`` names this joining; the worker may call the ``remote_`` methods."""

    log = Logger()

    session: str
    info: WorkerInfo
    shown: Presented  # the certificate that it has joined with
    _broker: Broker
    _agent: RemoteReference
    _listener: Listener
    _clock: IReactorTime
    known: bool = field(default=False, init=False)  # to the scheduler: from the first report on
    api_url: str = field(default="", init=False)  # where it transfers images
    transfer_directory: TransferDirectory | None = field(default=None, init=False)  # if it asked for one
    leaving: bool = field(default=False, init=False)  # it has said so …
    drained: bool = field(default=False, init=False)  # … since an admin has sent it away
    shares_store: bool = field(default=False, init=False)  # it has proved that it can use that directory
    _silence: int = field(default=0, init=False)  # intervals without a report
    _reports: int = field(default=0, init=False)  # in this interval
    _given: int = field(default=0, init=False)  # jobs, ever
    _ended: int = field(default=0, init=False)  # attempts that it says have ended
    _delivered: int = field(default=0, init=False)  # results, by whatever job
    _kept_out: bool = field(default=False, init=False)  # for its offences

    @property
    def address(self) -> str:
        """The worker's address, for people."""
        return self._broker.peer

    @property
    def principal(self) -> Principal:
        """The principal of this worker's requests."""
        return Principal(self.info.name, Role.WORKER, self.session)

    @property
    def how_it_ended(self) -> str:
        """What to say of the worker when its link has ended."""
        return "is drained" if self.drained else "has left" if self.leaving else "is lost"

    # What the worker says. What is more than an honest worker says is counted, and not looked at.

    def remote_report(self, data: object) -> None:
        self._reports += 1
        if self._reports > MOST_REPORTS:
            self._exceed(REPORT_COST, "many more reports than were asked for")
            return
        report = self._read(data, wire.Report)
        self._silence = 0
        self._listener.load_reported(self, report.load)

    def remote_ended(self, data: object) -> None:
        endings = self._read(data, wire.AttemptEndings).endings
        self._ended += len(endings)
        if self._ended > self._given:
            self._exceed(self._ended - self._given, "the ends of more attempts than it was given")
            self._ended = self._given
        if any(ending.outcome is Outcome.LOST for ending in endings):
            raise self._offence("a worker cannot say of itself that it is lost")
        self._listener.attempts_ended(self, endings)

    def remote_leaving(self) -> None:
        if self.leaving:
            self._exceed(REPORT_COST, "again and again that it leaves")
            return
        self._listener.worker_leaving(self)

    def remote_prove(self) -> None:
        if self.shares_store:
            self._exceed(REPORT_COST, "a proof that it has given before")
        self._listener.check_transfer(self)

    def remote_deliver(self, data: object) -> Deferred[bytes]:
        results = self._read(data, wire.ResultFiles).results
        self._delivered += len(results)
        if self._delivered > RESULTS_EACH * self._given:
            surplus = self._delivered - RESULTS_EACH * self._given
            self._exceed(surplus, "more results than it was given jobs")
            self._delivered = RESULTS_EACH * self._given
        return self._listener.keep_results(self, results).addCallback(wire.encode)

    def remote_renew(self, data: object) -> Deferred[bytes]:
        request = self._read(data, wire.CertificateRequest)
        life = self.shown.until - self.shown.since
        if self._clock.seconds() < self.shown.since + life / 4:
            self._exceed(RENEWAL_COST, "requests for certificates while it has a new one")
        return self._listener.renew_certificate(self, request.key).addCallback(wire.encode)

    def _exceed(self, amount: float, what: str) -> None:
        """Count what an honest worker says seldom or never. Raises Malformed when it was too much."""
        if not self._listener.may_exceed(self, amount):
            raise self._offence(what)

    def _read(self, data: object, kind: type[T]) -> T:
        try:
            return wire.decode(data, kind)
        except Malformed as error:
            raise self._offence(error.detail) from None

    def _offence(self, what: str) -> Malformed:
        self.offend(what)
        return Malformed(what)

    def offend(self, what: str) -> None:
        """Charge the worker with what no honest worker sends. After too many offences it is dropped, and what
        else it has sent does not count."""
        if self._kept_out:
            return
        self._kept_out = self._listener.record_offence(self)
        if self._kept_out:
            self.drop(f"it keeps sending what no honest worker sends, and is kept out for a while: {what}")
        else:
            self.log.warn(
                "Worker {name} sent what no honest worker sends: {what}", name=self.info.name, what=what
            )

    # What we tell the worker

    @deferred
    async def run(self, jobs: Sequence[LeasedJob]) -> None:
        self._given += len(jobs)
        taken = [self._run(message) for message in wire.batches(jobs, wire.Jobs)]
        try:
            await gatherResults(taken, consumeErrors=True)
        except FirstError as first:
            first.subFailure.raiseException()

    @deferred
    async def _run(self, message: bytes) -> None:
        try:
            await call(self._agent, "run", message, clock=self._clock, timeout=RUN_SECONDS)
        except CallTimeout:
            self.drop(f"it did not take its jobs within {RUN_SECONDS:.0f} s")
            raise

    @deferred
    async def thumbnail(self, job: LeasedJob) -> bytes:
        message = wire.encode(wire.Jobs((job,)))
        answer = await call(self._agent, "thumbnail", message, clock=self._clock, timeout=THUMBNAIL_SECONDS)
        if not isinstance(answer, bytes) or len(answer) > wire.MAX_THUMBNAIL or answer[:3] not in _JPEGS:
            raise self._offence("a thumbnail that is none")
        return answer

    def cancel(self, leases: Sequence[Lease]) -> None:
        for message in wire.batches(leases, wire.Leases):
            notify(self._agent, "cancel", message)

    def dismiss(self) -> None:
        """Ask it to finish or hand back what it has, and to end."""
        self.drained = True
        notify(self._agent, "leave")

    def drop(self, reason: str) -> None:
        self._broker.drop(f"worker {self.info.name}: {reason}")

    @deferred
    async def is_alive(self) -> bool:
        """Whether the worker answers a ping in time."""
        try:
            await call(self._agent, "ping", clock=self._clock, timeout=PING_SECONDS)
        except DpipError:
            return False
        return True

    def interval_passed(self) -> None:
        """Drop the worker when no report has come for too long, or when its certificate has expired.

        Called once in each interval in which a report is due.
        """
        if self._clock.seconds() >= self.shown.until:
            self.drop("its certificate has expired")
        self._reports = 0
        self._silence += 1
        if self._silence >= MAX_SILENCE:
            self.drop("nothing heard from it for too long")

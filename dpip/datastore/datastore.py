"""The datastore as one service: the methods of ``IDatastore`` are operations of the writer, or reads.

Those that are one function of a noun's module are declared by its name; the others also keep the counters of
:class:`LiveWorkloads`, or start the removal of rows that nobody can see any more.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Concatenate, ParamSpec, TypeVar

from attrs import Factory, define, field
from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.datastore import (
    accounts,
    activity_log,
    cancelling,
    certificates,
    idempotency_keys,
    jobs,
    purge,
    retries,
    shared_secrets,
    uploads,
    webhooks,
)
from dpip.datastore import images as image_rows
from dpip.datastore import places as place_rows
from dpip.datastore import presets as preset_rows
from dpip.datastore import results as result_rows
from dpip.datastore import workers as worker_rows
from dpip.datastore import workloads as workload_rows
from dpip.datastore.connections import Connections
from dpip.datastore.database import Database, database_of
from dpip.datastore.live_workloads import LiveWorkloads, pages_of
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError, RetryLater
from dpip.interfaces import IDatastore
from dpip.model import (
    AcceptedOriginal,
    Activity,
    IdempotencyKey,
    Image,
    Lease,
    LeasedJob,
    Outcome,
    StoredFile,
    WaitingJob,
    Webhook,
    Workload,
    WorkloadStatus,
)
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Histogram
from dpip.runtime.threads import FromThreads, MakeThreads, RealThreads

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")
Query = Callable[Concatenate[Connection, P], R]
Method = Callable[Concatenate["Datastore", P], Deferred[R]]


_BEAT: OperationKind[None, None] = OperationKind(
    lambda connection, beats: [None] * len(beats), lambda beat: (), sheds=False
)


def _closed() -> Deferred[Any]:
    return fail(RetryLater("The database is closed."))


def _reads(query: Query[P, R]) -> Method[P, R]:
    """The method that runs ``query(connection, …)`` in a thread that reads."""

    def method(self: Datastore, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        return self._storage.reader.read(query, *args, **kwargs) if self._storage else _closed()

    return method


def _writes(query: Query[P, R]) -> Method[P, R]:
    """The method that runs ``query(connection, …)`` in the thread that writes."""

    def method(self: Datastore, /, *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        return self._call(query, *args, **kwargs)

    return method


@implementer(IDatastore)
@define(eq=False, slots=False)
class Datastore(Service):
    """The rows in ``database``: SQLite in WAL mode for the path of a file.

    ``startService`` makes or migrates its tables and raises what ``prepare`` does; ``stopService`` takes
    nothing more and fires when all that was asked for is durable. ``changed(workload id)`` is called when a
    workload is new, when its counts have changed, and when workers were given its jobs. ``commits`` measures
    how long transactions take. ``call_later`` is the reactor's: with it commits that follow each other
    closely wait for more.
    """

    log = Logger()

    _database: Database = field(converter=database_of)
    _reactor: FromThreads
    _make_threads: MakeThreads = RealThreads
    _monotonic: Callable[[], float] = time.monotonic
    _changed: Callable[[str], object] = field(default=lambda _: None)
    _commits: Histogram = field(factory=Histogram)
    _call_later: Callable[..., IDelayedCall] | None = None
    _live: LiveWorkloads = field(
        default=Factory(lambda self: LiveWorkloads(self._monotonic, self._changed), takes_self=True),
        init=False,
    )
    _storage: Connections | None = field(default=None, init=False)
    _purge_wanted: bool = field(default=False, init=False)
    _purging: bool = field(default=False, init=False)

    def startService(self) -> None:
        self._database.prepare()
        self._storage = Connections.open(
            self._database,
            self._reactor,
            self._make_threads,
            self._commits,
            self._call_later,
            self._monotonic,
        )
        super().startService()

    @deferred
    async def stopService(self) -> None:
        super().stopService()
        if self._storage is not None:
            await self._storage.close()
            self._storage = None

    def _call(self, query: Query[P, R], *args: P.args, **kwargs: P.kwargs) -> Deferred[R]:
        return self._storage.writer.call(query, *args, **kwargs) if self._storage else _closed()

    def _submit(self, kind: OperationKind[A, R], argument: A) -> Deferred[R]:
        return self._storage.writer.submit(kind, argument) if self._storage else _closed()

    # Controllers that share the database

    keep_secrets = _writes(shared_secrets.keep)

    def beat(self) -> Deferred[None]:
        """Fires when the database has taken part in a transaction."""
        return self._submit(_BEAT, None)

    # Users and tokens

    add_user = _writes(accounts.add_user)
    user = _reads(accounts.user)
    users = _reads(accounts.all_users)
    set_password = _writes(accounts.set_password)
    add_token = _writes(accounts.add_token)
    tokens = _reads(accounts.all_tokens)
    revoke_token = _writes(accounts.revoke_token)
    token = _reads(accounts.token)
    remove_token = _writes(accounts.remove_token)

    @deferred
    async def remove_user(self, name: str, now: float) -> Sequence[Workload]:
        removed = await self._call(accounts.remove_user, name, now)
        self._live.deleted([workload.id for workload in removed])
        self._purge()
        return removed

    # Presets

    presets = _reads(preset_rows.all_of)
    preset = _reads(preset_rows.get)
    save_preset = _writes(preset_rows.save)
    delete_preset = _writes(preset_rows.remove)

    # Workloads

    workloads = _reads(workload_rows.page)
    results = _reads(image_rows.results)
    totals = _reads(workload_rows.totals)
    webhook = _reads(webhooks.state)
    webhooks_due = _reads(webhooks.due)
    webhook_delivered = _writes(webhooks.delivered)
    workloads_finished_before = _reads(workload_rows.finished_before)
    workloads_empty_before = _reads(workload_rows.empty_before)
    directories = _reads(workload_rows.directories)

    @deferred
    async def add_workload(self, workload: Workload, key: IdempotencyKey | None) -> Workload:
        added = await self._call(workload_rows.add, workload, key)
        if added.id == workload.id:
            self._live.opened(added)
        return added

    @deferred
    async def workload(self, workload_id: str) -> Workload | None:
        known = self._live.workload(workload_id)
        if known is None:
            known = await self._call(workload_rows.get, workload_id)
            if known is not None:
                self._live.remember(known)
        return known

    @deferred
    async def endings(self, workload_id: str) -> Sequence[int]:
        known = self._live.endings.get(workload_id)
        if known is None:
            known = pages_of(await self._call(image_rows.endings, workload_id))
            self._live.endings[workload_id] = known
        return known.tolist()

    @deferred
    async def delete_workload(self, workload_id: str, now: float, if_empty: bool = False) -> Workload | None:
        deleted = await self._call(workload_rows.delete, workload_id, now, if_empty)
        self._live.deleted([workload_id])
        self._purge()
        return deleted

    @deferred
    async def seal_workload(self, workload_id: str, webhook: Webhook | None, now: float) -> Workload:
        sealed = await self._call(webhooks.seal, workload_id, webhook, now)
        self._live.renewed(sealed)
        return sealed

    @deferred
    async def cancel_workload(self, workload_id: str, now: float) -> tuple[Workload, int]:
        count, first = 0, 0
        while True:
            cancelled, ended, first = await self._call(cancelling.cancel, workload_id, first, now)
            self._live.renewed(cancelled)
            count += ended
            if cancelled.status is not WorkloadStatus.RUNNING:
                return cancelled, count

    @deferred
    async def retry_images(
        self, workload_id: str, image_ids: Sequence[str] | None, after: int, now: float
    ) -> tuple[Workload, Sequence[WaitingJob], int | None]:
        retried, made, further = await self._call(retries.retry, workload_id, image_ids, after, now)
        self._live.renewed(retried)
        return retried, made, further

    # Images and jobs

    knows_key = _reads(idempotency_keys.is_known)
    image = _reads(image_rows.get)
    images_by_id = _reads(image_rows.by_ids)
    image_at = _reads(image_rows.at)
    images = _reads(image_rows.page)
    images_at = _reads(image_rows.at_places)
    places = _reads(place_rows.places)
    paths = _reads(image_rows.paths)
    was_leased = _reads(jobs.was_leased)
    unfinished = _reads(jobs.unfinished)

    @deferred
    async def add_originals(
        self,
        workload_id: str,
        files: Sequence[tuple[str, str, StoredFile]],
        key: IdempotencyKey | None,
        now: float,
    ) -> tuple[Sequence[AcceptedOriginal], bool]:
        accepted, fresh = await self._submit(
            uploads.ADD, uploads.UploadOperation(workload_id, files, key, now)
        )
        if fresh and files:
            self._live.accepted(workload_id, len(files), sum(file.size for _, _, file in files))
        return accepted, fresh

    @deferred
    async def lease(self, leases: Sequence[tuple[int, str, str]], now: float) -> Sequence[LeasedJob | None]:
        leased = await self._submit(jobs.LEASE, jobs.LeaseOperation(leases, now))
        for workload_id in {job.workload_id: None for job in leased if job is not None}:
            self._live.changed(workload_id)
        return leased

    @deferred
    async def finish(self, lease: Lease, worker: str, file: StoredFile, now: float) -> tuple[Image, bool]:
        [outcome] = await self.finish_many([(lease, file)], worker, now)
        if isinstance(outcome, Failure):
            outcome.raiseException()
        return outcome

    @deferred
    async def finish_many(
        self, results: Sequence[tuple[Lease, StoredFile]], worker: str, now: float
    ) -> Sequence[tuple[Image, bool] | Failure]:
        if self._storage is None:
            raise RetryLater("The database is closed.")
        finishes = [result_rows.FinishOperation(lease, worker, file, now) for lease, file in results]
        outcomes = await self._storage.writer.submit_many(result_rows.FINISH, finishes)
        for outcome in outcomes:
            if not isinstance(outcome, Failure) and outcome[1]:
                image, _ = outcome
                self._live.ended(image.workload_id, image.seq, image.file, now)
        return outcomes

    @deferred
    async def fail(self, lease: Lease, code: str, detail: str, now: float) -> tuple[str, int] | None:
        place = await self._submit(result_rows.FAIL, result_rows.FailOperation(lease, code, detail, now))
        if place is not None:
            self._live.ended(*place, None, now)
        return place

    def release(self, leases: Sequence[tuple[Lease, Outcome]], now: float) -> Deferred[None]:
        return self._submit(jobs.RELEASE, jobs.ReleaseOperation(leases, now))

    @deferred
    async def recover(self, now: float) -> None:
        await self._call(jobs.recover, now)
        self._purge()

    # Workers

    worker_joined = _writes(worker_rows.joined)
    worker_left = _writes(worker_rows.left)
    all_workers_left = _writes(worker_rows.all_left)
    issue_certificate = _writes(certificates.issue)
    renew_certificate = _writes(certificates.renew)
    revoke_worker = _writes(certificates.revoke)
    worker_offended = _writes(certificates.offended)
    workers = _reads(worker_rows.page)
    forget_worker = _writes(worker_rows.forget)
    gone_workers = _reads(worker_rows.count_gone)

    _crowds = _reads(purge.crowds)

    # Record

    activity = _reads(activity_log.page)

    def record(self, activity: Activity) -> Deferred[None]:
        return self._submit(activity_log.APPEND, activity)

    @deferred
    async def expire(self, now: float) -> None:
        await self._call(worker_rows.seen, now)
        for crowd in await self._crowds():
            while await self._call(purge.thin_out, crowd, now):
                pass
        while await self._call(purge.expired, now):
            pass
        self._purge()

    # Rows of deleted workloads

    def _purge(self) -> None:
        """Begin to remove them, unless that is under way; it goes on after the caller has its answer."""
        self._purge_wanted = True
        if not self._purging:
            self._purging = True
            Deferred.fromCoroutine(self._purge_slices())

    async def _purge_slices(self) -> None:
        try:
            while self._purge_wanted:
                self._purge_wanted = False
                while await self._call(purge.deleted_rows):
                    pass
        except DpipError as error:  # closing, or the disk is full: the next ``expire`` or start goes on
            self.log.info("Rows of deleted workloads stay for now: {error}", error=error)
        finally:
            self._purging = False

"""The datastore as one service: the methods of ``IDatastore`` are operations of the writer, or reads."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection
from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from dpip.datastore import (
    accounts,
    activity_log,
    cancelling,
    certificates,
    idempotency_keys,
    images,
    jobs,
    migrate,
    purge,
    results,
    retries,
    uploads,
    webhooks,
    workers,
    workloads,
)
from dpip.datastore.connections import Connections
from dpip.datastore.live_workloads import LiveWorkloads, pages_of
from dpip.datastore.writer import OperationKind
from dpip.errors import DpipError, RetryLater
from dpip.interfaces import IDatastore
from dpip.model import (
    AcceptedOriginal,
    Activity,
    CertificateRecord,
    Delivery,
    DueWebhook,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Outcome,
    Principal,
    Results,
    Role,
    Selection,
    StoredFile,
    TokenRecord,
    User,
    WaitingJob,
    Webhook,
    WebhookState,
    WorkerInfo,
    WorkerRecord,
    Workload,
    WorkloadStatus,
)
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Histogram
from dpip.runtime.threads import FromThreads, MakeThreads, thread_pool

A = TypeVar("A")
P = ParamSpec("P")
R = TypeVar("R")


def _sealed(connection: Connection, workload_id: str, webhook: Webhook | None, now: float) -> Workload:
    workload, now_sealed = workloads.seal(connection, workload_id, now)
    if webhook is not None:
        webhooks.attach(connection, workload_id, webhook, now_sealed)
    return workload


def _closed() -> Deferred[Any]:
    return fail(RetryLater("The database is closed."))


@implementer(IDatastore)
class Datastore(Service):
    """SQLite in WAL mode in the file at ``path``, which is made when it is not there.

    ``startService`` creates or migrates the file and may raise ``migrate.UnknownDatabase``; ``stopService``
    takes nothing more and fires when all that was asked for is durable. ``changed(workload id)`` is called
    when one is new, when its counts have changed, and when workers were given its jobs. ``commits`` measures.
    """

    log = Logger()

    def __init__(
        self,
        path: Path,
        reactor: FromThreads,
        make_threads: MakeThreads = thread_pool,
        monotonic: Callable[[], float] = time.monotonic,
        changed: Callable[[str], object] = lambda _: None,
        commits: Histogram | None = None,
    ) -> None:
        self._commits = commits or Histogram()
        self._live = LiveWorkloads(monotonic, changed)
        self._path = path
        self._reactor = reactor
        self._make_threads = make_threads
        self._storage: Connections | None = None
        self._purge_wanted = False
        self._purging = False

    def startService(self) -> None:
        migrate.prepare(self._path)
        self._storage = Connections.open(self._path, self._reactor, self._make_threads, self._commits)
        super().startService()

    @deferred
    async def stopService(self) -> None:
        super().stopService()
        if self._storage is not None:
            await self._storage.close()
            self._storage = None

    def _read(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]:
        return self._storage.reader.read(function, *args, **kwargs) if self._storage else _closed()

    def _call(
        self, function: Callable[Concatenate[Connection, P], R], *args: P.args, **kwargs: P.kwargs
    ) -> Deferred[R]:
        return self._storage.writer.call(function, *args, **kwargs) if self._storage else _closed()

    def _submit(self, kind: OperationKind[A, R], argument: A) -> Deferred[R]:
        return self._storage.writer.submit(kind, argument) if self._storage else _closed()

    # Users and tokens

    def add_user(
        self, name: str, password_hash: str, role: Role, quota: int | None, now: float
    ) -> Deferred[User]:
        return self._call(accounts.add_user, name, password_hash, role, quota, now)

    def user(self, name: str) -> Deferred[tuple[User, str] | None]:
        return self._read(accounts.user, name)

    def users(self) -> Deferred[Sequence[User]]:
        return self._read(accounts.all_users)

    @deferred
    async def remove_user(self, name: str, now: float) -> Sequence[Workload]:
        removed = await self._call(accounts.remove_user, name, now)
        self._live.deleted([workload.id for workload in removed])
        self._purge()
        return removed

    def set_password(self, name: str, password_hash: str, verified: str | None = None) -> Deferred[None]:
        return self._call(accounts.set_password, name, password_hash, verified)

    def add_token(
        self,
        digest: bytes,
        user: str,
        now: float,
        expires_at: float,
        name: str | None = None,
        verified: str | None = None,
    ) -> Deferred[TokenRecord]:
        return self._call(accounts.add_token, digest, user, now, expires_at, name, verified)

    def tokens(self, user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        return self._read(accounts.all_tokens, user, limit)

    def revoke_token(self, token_id: str, user: str | None) -> Deferred[tuple[TokenRecord, bytes]]:
        return self._call(accounts.revoke_token, token_id, user)

    def token(self, digest: bytes) -> Deferred[tuple[Principal, float] | None]:
        return self._read(accounts.token, digest)

    def remove_token(self, digest: bytes) -> Deferred[None]:
        return self._call(accounts.remove_token, digest)

    # Workloads

    @deferred
    async def add_workload(self, workload: Workload, key: IdempotencyKey | None) -> Workload:
        added = await self._call(workloads.add, workload, key)
        if added.id == workload.id:
            self._live.opened(added)
        return added

    @deferred
    async def workload(self, workload_id: str) -> Workload | None:
        known = self._live.workload(workload_id)
        if known is None:
            known = await self._call(workloads.get, workload_id)
            if known is not None:
                self._live.read(known)
        return known

    def workloads(
        self, owner: str | None, which: Selection, after: str | None, limit: int
    ) -> Deferred[Sequence[Workload]]:
        return self._read(workloads.page, owner, which, after, limit)

    @deferred
    async def endings(self, workload_id: str) -> Sequence[int]:
        known = self._live.endings.get(workload_id)
        if known is None:
            known = pages_of(await self._call(images.endings, workload_id))
            self._live.endings[workload_id] = known
        return known.tolist()

    def results(self, workload_id: str, page: int) -> Deferred[Results]:
        return self._read(images.results, workload_id, page)

    def totals(self) -> Deferred[tuple[int, int, int]]:
        return self._read(workloads.totals)

    @deferred
    async def delete_workload(self, workload_id: str, now: float) -> Workload | None:
        deleted = await self._call(workloads.delete, workload_id, now)
        self._live.deleted([workload_id])
        self._purge()
        return deleted

    @deferred
    async def seal_workload(self, workload_id: str, webhook: Webhook | None, now: float) -> Workload:
        sealed = await self._call(_sealed, workload_id, webhook, now)
        self._live.renewed(sealed)
        return sealed

    def webhook(self, workload_id: str) -> Deferred[WebhookState]:
        return self._read(webhooks.state, workload_id)

    def webhooks_due(self, now: float, limit: int) -> Deferred[tuple[Sequence[DueWebhook], bool]]:
        return self._read(webhooks.due, now, limit)

    def webhook_delivered(
        self, workload_id: str, delivery: Delivery, next_at: float | None, finished_at: float
    ) -> Deferred[None]:
        return self._call(webhooks.delivered, workload_id, delivery, next_at, finished_at)

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

    def workloads_finished_before(self, when: float, limit: int) -> Deferred[Sequence[Workload]]:
        return self._read(workloads.finished_before, when, limit)

    # Images and jobs

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

    def knows_key(self, owner: str, key: str) -> Deferred[bool]:
        return self._read(idempotency_keys.is_known, owner, key)

    def image(self, image_id: str) -> Deferred[Image | None]:
        return self._read(images.get, image_id)

    def image_at(self, workload_id: str, type: ImageType, seq: int) -> Deferred[Image | None]:
        return self._read(images.at, workload_id, type, seq)

    def images(
        self, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Deferred[Sequence[Image]]:
        return self._read(images.page, workload_id, type, after, limit)

    @deferred
    async def lease(self, leases: Sequence[tuple[int, str, str]], now: float) -> Sequence[LeasedJob | None]:
        leased = await self._submit(jobs.LEASE, jobs.LeaseOperation(leases, now))
        for workload_id in {job.workload_id: None for job in leased if job is not None}:
            self._live.changed(workload_id)
        return leased

    @deferred
    async def finish(self, lease: Lease, worker: str, file: StoredFile, now: float) -> tuple[Image, bool]:
        image, fresh = await self._submit(results.FINISH, results.FinishOperation(lease, worker, file, now))
        if fresh:
            self._live.ended(image.workload_id, image.seq, file.size, now)
        return image, fresh

    @deferred
    async def fail(self, lease: Lease, code: str, detail: str, now: float) -> tuple[str, int] | None:
        place = await self._submit(results.FAIL, results.FailOperation(lease, code, detail, now))
        if place is not None:
            self._live.ended(*place, None, now)
        return place

    def was_leased(self, lease: Lease, worker: str) -> Deferred[bool]:
        return self._read(jobs.was_leased, lease, worker)

    def release(self, leases: Sequence[tuple[Lease, Outcome]], now: float) -> Deferred[None]:
        return self._submit(jobs.RELEASE, jobs.ReleaseOperation(leases, now))

    @deferred
    async def recover(self, now: float) -> None:
        await self._call(jobs.recover, now)
        self._purge()

    def unfinished(self, after: int, limit: int) -> Deferred[Sequence[tuple[str, WaitingJob]]]:
        """Those that wait: after :meth:`recover` these are all."""
        return self._read(jobs.unfinished, after, limit)

    def paths(self, directory: str) -> Deferred[frozenset[str]]:
        return self._read(images.paths, directory)

    def directories(self) -> Deferred[frozenset[str]]:
        return self._read(workloads.directories)

    # Workers

    def worker_joined(self, info: WorkerInfo, address: str, now: float, serial: str) -> Deferred[None]:
        return self._call(workers.joined, info, address, now, serial)

    def worker_left(self, name: str, now: float) -> Deferred[None]:
        return self._call(workers.left, name, now)

    def issue_certificate(self, new: CertificateRecord, token_made: float) -> Deferred[None]:
        return self._call(certificates.issue, new, token_made)

    def renew_certificate(self, new: CertificateRecord, last: str) -> Deferred[None]:
        return self._call(certificates.renew, new, last)

    def revoke_worker(self, name: str, now: float) -> Deferred[int]:
        return self._call(certificates.revoke, name, now)

    def worker_offended(self, name: str, suspended_until: float | None) -> Deferred[None]:
        return self._call(certificates.offended, name, suspended_until)

    def workers(self) -> Deferred[Sequence[WorkerRecord]]:
        return self._read(workers.all_workers)

    # Record

    def record(self, activity: Activity) -> Deferred[None]:
        return self._submit(activity_log.APPEND, activity)

    def activity(self, before: int | None, limit: int) -> Deferred[Sequence[tuple[int, Activity]]]:
        return self._read(activity_log.page, before, limit)

    @deferred
    async def expire(self, now: float) -> None:
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

"""The controller as the API sees it: it checks permissions, and does things in an order that loses nothing.

A workload, an original or a result is durable in the datastore before the scheduler hears of it and before
anybody is answered. Files are durable in the image store before their rows are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import Any

from attrs import define, evolve, field
from cachetools import LRUCache
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip import __version__
from dpip.controller.accounts import Accounts
from dpip.controller.feed import Feed, Interest
from dpip.controller.join_tokens import JoinTokens
from dpip.controller.permissions import admins_only, no_image, no_workload, owned, user_meant, users_only
from dpip.controller.thumbnails import Thumbnails
from dpip.controller.webhooks import Webhooks
from dpip.errors import (
    Conflict,
    DpipError,
    Forbidden,
    KeyReused,
    Malformed,
    NotFound,
    QuotaExceeded,
    RetryLater,
    StaleLease,
    TooLarge,
    WrongHash,
)
from dpip.interfaces import IAdmission, IController, IDatastore, IImageStore, IScheduler, ITelemetry
from dpip.link.join_token import JoinToken
from dpip.model import (
    ALL,
    UNFINISHED,
    Activity,
    CommitReceipt,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Metric,
    NewcomersToken,
    Outcome,
    PlaceSelection,
    Preset,
    Principal,
    Progress,
    Reason,
    RequestTimes,
    Results,
    Role,
    Sample,
    Selection,
    StoredFile,
    Thumbnail,
    Token,
    TokenRecord,
    Update,
    Updates,
    User,
    Webhook,
    WebhookState,
    WorkerJob,
    WorkerRecord,
    WorkerState,
    Workload,
    WorkloadSpec,
    WorkloadStatus,
)
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Meters, gauge
from dpip.runtime.sizes import memory_of
from dpip.store.admission import AdmissionControl

_REMEMBERED_RESULTS = 16 * 2**20  # bytes of memory
_SNAPSHOT = 1_000  # workloads
_MAX_SEQ_DIGITS = 10  # a reference of digits only, no longer than this, is a place and not an id


@implementer(IController)
@define(slots=False)
class Controller:
    """``authenticate_worker`` knows the tokens of joined workers; ``restart_worker`` starts the drained
    worker of this process again, if that is its name; ``dismiss_worker`` asks one to end, or
    raises NotFound; ``expel_worker`` ends its link, if there is one; ``accuse_worker`` charges one with what
    no honest worker sends; ``session_of_worker`` is that of one who has joined; ``tags_of_workers`` are of
    all of them. ``disk_usage`` gives total and free bytes. ``operator_warnings`` are for the status;
    ``first_password_at`` is a file that the first start has left. ``tokens_died`` fires when no API process
    accepts tokens that have died. ``feed`` is told of deleted workloads; the datastore tells it of other
    changes."""

    log = Logger()

    datastore: IDatastore
    image_store: IImageStore
    scheduler: IScheduler
    telemetry: ITelemetry
    accounts: Accounts
    admission: AdmissionControl
    authenticate_worker: Callable[[str], Principal | None]
    dismiss_worker: Callable[[str], None]
    restart_worker: Callable[[str], bool]
    expel_worker: Callable[[str], None]
    accuse_worker: Callable[[Principal, str], None]
    join_tokens: JoinTokens
    operator_warnings: Callable[[], Sequence[str]]
    directory_for: Callable[[str, str], str]
    new_id: Callable[[], str]
    clock: Callable[[], float]
    feed: Feed
    webhooks: Webhooks
    thumbnails: Thumbnails
    meters: Meters = field(factory=Meters, kw_only=True)
    max_pixels: int
    default_quota: int | None = None  # bytes, of users added without one
    session_of_worker: Callable[[str], str | None] = field(default=lambda name: None)
    disk_usage: Callable[[], tuple[int, int]] = field(default=lambda: (0, 0))
    tags_of_workers: Callable[[], Collection[str]] = field(default=tuple)
    first_password_at: Callable[[], str | None] = field(default=lambda: None)
    tokens_died: Callable[[str], Deferred[None]] = field(default=lambda user: succeed(None))
    check_leading: Callable[[], object] = field(default=lambda: None)
    _recent_results: LRUCache[tuple[str, Lease], LeasedJob] = field(
        factory=lambda: LRUCache(_REMEMBERED_RESULTS, lambda job: min(memory_of(job), _REMEMBERED_RESULTS)),
        init=False,
    )

    # Accounts

    @deferred
    async def login(self, name: str, password: str, address: str) -> Token:
        token = await self.accounts.login(name, password, address)
        self._record(name, "login", name, address=address)
        return token

    @deferred
    async def authenticate(self, secret: str) -> Principal:
        self.check_leading()
        return self.authenticate_worker(secret) or await self.accounts.authenticate(secret)

    @deferred
    async def logout(self, secret: str) -> None:
        principal = await self.accounts.authenticate(secret)
        await self.accounts.logout(secret)
        await self._tokens_die(principal.name)
        self._record(principal.name, "logout", principal.name)

    @deferred
    async def users(self, by: Principal) -> Sequence[User]:
        admins_only(by)
        return await self.datastore.users()

    @deferred
    async def add_user(self, by: Principal, name: str, password: str, role: Role, quota: int | None) -> User:
        admins_only(by)
        quota = self.default_quota if quota is None else quota
        user = await self.accounts.add_user(name, password, role, quota)
        self._record(by.name, "add-user", name, role=role.value)
        return user

    @deferred
    async def remove_user(self, by: Principal, name: str) -> None:
        admins_only(by)
        if name == by.name:
            raise Conflict("An admin cannot remove itself: let another admin do it.")
        workloads = await self.datastore.remove_user(name, self.clock())
        self.accounts.forget_tokens_of(name)
        await self._tokens_die(name)
        self._record(by.name, "remove-user", name)
        for workload in workloads:
            self._forget_workload(workload)

    @deferred
    async def set_password(self, by: Principal, name: str, password: str, old_password: str | None) -> None:
        if by.name == name and by.role is not Role.WORKER:
            await self.accounts.change_own_password(name, old_password, password)
        else:
            admins_only(by)
            await self.accounts.set_password(name, password)
        await self._tokens_die(name)
        self._record(by.name, "set-password", name)

    @deferred
    async def tokens(self, by: Principal, user: str | None, limit: int) -> Sequence[TokenRecord]:
        users_only(by)
        return await self.datastore.tokens(user_meant(by, user), limit)

    @deferred
    async def add_token(
        self, by: Principal, user: str | None, name: str, seconds: float
    ) -> tuple[TokenRecord, Token]:
        users_only(by)
        owner = by.name if user is None else user_meant(by, user) or user
        record, token = await self.accounts.issue_token(owner, name, seconds)
        self._record(by.name, "add-token", record.id, user=owner, name=name)
        return record, token

    @deferred
    async def revoke_token(self, by: Principal, token_id: str) -> TokenRecord:
        users_only(by)
        record = await self.accounts.revoke_token(token_id, None if by.is_admin else by.name)
        await self._tokens_die(record.user)
        self._record(by.name, "revoke-token", record.id, user=record.user, name=record.name)
        return record

    async def _tokens_die(self, user: str) -> None:
        await self.tokens_died(user)
        self.feed.wake(user)  # those who watch with such a token are refused when they ask again

    # Workloads

    @deferred
    async def create_workload(
        self, by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None
    ) -> Progress:
        users_only(by)
        workload_id = self.new_id()
        new = Workload(
            id=workload_id,
            owner=by.name,
            spec=spec,
            directory=self.directory_for(spec.name, workload_id),
            created_at=self.clock(),
        )
        workload = await self.datastore.add_workload(new, key)
        if workload.id == workload_id:
            self.scheduler.workload_opened(workload)
            self._record(by.name, "create-workload", workload_id, name=spec.name)
        return self._progress(workload)

    @deferred
    async def workload(self, by: Principal, workload_id: str) -> Progress:
        return self._progress(await self._known_workload(by, workload_id))

    @deferred
    async def workloads(
        self, by: Principal, which: Selection = ALL, after: str | None = None, limit: int = 100
    ) -> Sequence[Progress]:
        users_only(by)
        owner = None if by.is_admin else by.name
        found = await self.datastore.workloads(owner, which, after, limit)
        return [self._progress(workload) for workload in found]

    def _progress(self, workload: Workload) -> Progress:
        running = workload.status is WorkloadStatus.RUNNING
        eta = self.scheduler.eta(workload.id) if running else None
        return Progress(workload, self.scheduler.running_jobs(workload.id), eta)

    @deferred
    async def why(self, by: Principal, workload_id: str) -> Sequence[Reason]:
        await self._known_workload(by, workload_id)
        return self.scheduler.why(workload_id)

    @deferred
    async def endings(self, by: Principal, workload_id: str) -> Sequence[int]:
        await self._known_workload(by, workload_id)
        return await self.datastore.endings(workload_id)

    @deferred
    async def results(self, by: Principal, workload_id: str, page: int) -> Results:
        await self._known_workload(by, workload_id)
        return await self.datastore.results(workload_id, page)

    @deferred
    async def cancel_workload(self, by: Principal, workload_id: str) -> tuple[Progress, int]:
        await self._known_workload(by, workload_id)
        workload, ended = await self.datastore.cancel_workload(workload_id, self.clock())
        # At once, before any later answer of the datastore: the scheduler must hear of later jobs after this.
        self.scheduler.workload_dropped(workload_id)
        self._record(by.name, "cancel-workload", workload_id, images=ended)
        return self._progress(workload), ended

    @deferred
    async def retry_images(
        self, by: Principal, workload_id: str, image_ids: Sequence[str] | None
    ) -> tuple[Progress, int]:
        workload = await self._known_workload(by, workload_id)
        after: int | None = -1
        count = 0
        while after is not None:
            workload, jobs, after = await self.datastore.retry_images(
                workload_id, image_ids, after, self.clock()
            )
            if jobs:
                self.scheduler.workload_opened(workload)
                self.scheduler.jobs_waiting(workload_id, jobs)
            count += len(jobs)
        self.webhooks.wake()
        self._record(by.name, "retry-images", workload_id, images=count)
        return self._progress(workload), count

    @deferred
    async def seal_workload(self, by: Principal, workload_id: str, webhook: Webhook | None) -> Progress:
        known = await self._known_workload(by, workload_id)
        if webhook is not None:
            self.webhooks.allowed.check(webhook.url)
        elif known.sealed:
            return self._progress(known)
        workload = await self.datastore.seal_workload(workload_id, webhook, self.clock())
        if webhook is not None:
            self.webhooks.wake()
        self._record(by.name, "seal-workload", workload_id)
        return self._progress(workload)

    @deferred
    async def webhook(self, by: Principal, workload_id: str) -> WebhookState:
        await self._known_workload(by, workload_id)
        return await self.datastore.webhook(workload_id)

    @deferred
    async def delete_workload(self, by: Principal, workload_id: str) -> None:
        await self._known_workload(by, workload_id)
        workload = await self.datastore.delete_workload(workload_id, self.clock())
        if workload is None:
            raise no_workload(workload_id)
        self._record(by.name, "delete-workload", workload_id, name=workload.spec.name)
        self._forget_workload(workload)

    @deferred
    async def progress_of(self, workload_id: str) -> Progress | None:
        """The progress for watchers; None when the workload is gone."""
        workload = await self.datastore.workload(workload_id)
        return None if workload is None else self._progress(workload)

    @deferred
    async def updates(self, by: Principal, workload_id: str | None, after: str | None, wait: bool) -> Updates:
        users_only(by)
        if workload_id is not None:
            await self._known_workload(by, workload_id)
        if after is None or not self.feed.knows(after):
            return await self._snapshot(by, workload_id)
        workers = by.is_admin and workload_id is None
        interest = Interest(None if by.is_admin else by.name, workload_id, workers, by.name)
        return await self.feed.since(after, interest, wait)

    async def _snapshot(self, by: Principal, workload_id: str | None) -> Updates:
        """Everything unfinished; what changes meanwhile may be in it or not, and becomes an update again."""
        before = self.feed.position
        found: Sequence[Progress]
        if workload_id is not None:
            found = [await self.workload(by, workload_id)]
        else:
            found = await self.workloads(by, UNFINISHED, limit=_SNAPSHOT)
        items = [Update("", workload=progress) for progress in found]
        if by.is_admin and workload_id is None:
            workers = await self.workers(by, True, None, None)
            items += [Update("", worker=WorkerState(one.info.name, True, load)) for one, load in workers]
        return Updates(self.feed.tell_again(before), items, snapshot=True)

    # Images

    def admit_upload(self, by: Principal, length: int | None, room: int | None = None) -> IAdmission:
        return self.admission.admit(by, length, room)

    @deferred
    async def check_quota(self, by: Principal, size: int, key: str | None) -> int | None:
        users_only(by)
        return await self._check_quota_of(by.name, by, size, key)

    @deferred
    async def check_upload(
        self, by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Workload:
        workload = await self._known_workload(by, workload_id)
        if by.quota is not None or by.name != workload.owner:
            await self._check_quota_of(workload.owner, by, sum(sizes), key)
        return workload

    async def _check_quota_of(self, owner: str, by: Principal, size: int, key: str | None) -> int | None:
        found = await self.datastore.user(owner)
        if found is None:  # removed at this moment, and its workloads with it: the commit says so
            return None
        user, _ = found
        try:
            return QuotaExceeded.check(size, user.used, user.reserved, user.quota)
        except QuotaExceeded:
            if key is None or not await self.datastore.knows_key(by.name, key):
                raise
        return QuotaExceeded.check(size, 0, 0, user.quota)

    @deferred
    async def commit_originals(
        self,
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Sequence[Image]:
        try:
            users_only(by)
            workload = await self._known_workload(by, workload_id)
            rows = [(image_id, self.new_id(), file) for image_id, file in files]
            accepted, fresh = await self.datastore.add_originals(workload_id, rows, key, self.clock())
        except _REFUSED:
            self._discard([file for _, file in files])
            raise
        if fresh:
            self.scheduler.workload_opened(workload)
            self.scheduler.jobs_waiting(workload_id, [original.job for original in accepted])
            self.meters.taken[ImageType.ORIGINAL] += sum(file.size for _, file in files)
        else:
            self._discard([file for _, file in files])
        return [original.image for original in accepted]

    @deferred
    async def held(self, by: Principal, image_ids: Sequence[str]) -> Sequence[LeasedJob | None]:
        return [self._held(by, image_id) for image_id in image_ids]

    def _held(self, by: Principal, image_id: str) -> LeasedJob | None:
        job = self.scheduler.holds(by.session, image_id) if by.role is Role.WORKER else None
        if job is not None:
            self.meters.given[ImageType.ORIGINAL] += job.original.file.size
        return job

    @deferred
    async def check_leases(self, by: Principal, leases: Sequence[Lease]) -> Sequence[LeasedJob | None]:
        return [await self._leased(by, lease) for lease in leases]

    async def _leased(self, by: Principal, lease: Lease) -> LeasedJob | None:
        if by.role is not Role.WORKER:
            return None
        job = self.scheduler.leased(by.session, lease) or self._recent_results.get((by.session, lease))
        if job is None and not await self.datastore.was_leased(lease, by.name):
            self.accuse_worker(by, f"a result for job {lease.job}, which was never leased to it")
        return job

    @deferred
    async def accuse(self, by: Principal, lease: Lease, what: str) -> None:
        self.scheduler.job_ended(by.session, lease, Outcome.RETURNED, WrongHash.code, what, 0.0)
        self.accuse_worker(by, what)

    @deferred
    async def commit_results(
        self, by: Principal, results: Sequence[tuple[Lease, StoredFile]]
    ) -> Sequence[CommitReceipt]:
        jobs = await self.check_leases(by, [lease for lease, _ in results])
        held = [result for job, result in zip(jobs, results, strict=True) if job is not None]
        outcomes = iter(await self.datastore.finish_many(held, by.name, self.clock()))
        return [
            self._stale(file) if job is None else self._committed(by, job, lease, file, next(outcomes))
            for job, (lease, file) in zip(jobs, results, strict=True)
        ]

    def _stale(self, file: StoredFile) -> CommitReceipt:
        self._discard([file])
        return _refusal(StaleLease.of_a_result())

    def _committed(
        self,
        by: Principal,
        job: LeasedJob,
        lease: Lease,
        file: StoredFile,
        outcome: tuple[Image, bool] | Failure,
    ) -> CommitReceipt:
        if isinstance(outcome, Failure):
            if outcome.check(*_REFUSED):
                self._discard([file])
            return _refusal(outcome.value)
        image, fresh = outcome
        if fresh:
            self.meters.attempt_ended(by.name, [name for name, _ in job.steps], Outcome.DONE)
            self.meters.taken[ImageType.FILTERED] += file.size
        else:
            self._discard([file])
        self._recent_results[by.session, lease] = job
        self.scheduler.result_committed(lease)
        return CommitReceipt(image)

    @deferred
    async def image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        if by.role is Role.WORKER:
            lent = self._lent(by, reference)
            if lent is None:
                raise no_image(reference)
            return lent
        image = await self._find_image(by, reference, workload_id, type)
        self.meters.given[image.type] += image.file.size
        return image

    @deferred
    async def find_images(self, by: Principal, image_ids: Sequence[str]) -> Sequence[Image | None]:
        if by.role is Role.WORKER:
            return [self._lent(by, image_id) for image_id in image_ids]
        found = await self.datastore.images_by_id(image_ids)
        own = {image.workload_id for image in found if image is not None}
        own = {each for each in own if await self._knows(by, each)}
        images = [image if image is not None and image.workload_id in own else None for image in found]
        for image in filter(None, images):
            self.meters.given[image.type] += image.file.size
        return images

    def _lent(self, by: Principal, image_id: str) -> Image | None:
        """An image that this worker may read now: for a thumbnail, or as the original of a job."""
        lent = self.thumbnails.lent_image(by.session, image_id)
        job = None if lent is not None else self._held(by, image_id)
        return lent if job is None else job.original

    async def _knows(self, by: Principal, workload_id: str) -> bool:
        try:
            await self._known_workload(by, workload_id)
        except NotFound:
            return False
        return True

    async def _find_image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        if reference.isascii() and reference.isdigit() and len(reference) <= _MAX_SEQ_DIGITS:
            return await self._image_at(by, int(reference), workload_id, type or ImageType.FILTERED)
        image = await self.datastore.image(reference)
        if image is None or (workload_id or image.workload_id) != image.workload_id:
            raise no_image(reference)
        if type is not None and type is not image.type:
            raise NotFound(f"Image {reference} is {_a(image.type)} image, not {_a(type)} one.")
        try:
            await self._known_workload(by, image.workload_id)
        except NotFound:
            raise no_image(reference) from None
        return image

    @deferred
    async def thumbnail(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Thumbnail:
        users_only(by)
        image = await self._find_image(by, reference, workload_id, type)
        return Thumbnail(image, await self.thumbnails.thumbnail_of(image, by.name))

    async def _image_at(self, by: Principal, seq: int, workload_id: str | None, type: ImageType) -> Image:
        if workload_id is None:
            raise Malformed(
                f"{seq} is a place within a workload: send workload_id along, or the image's global id."
            )
        await self._known_workload(by, workload_id)
        image = await self.datastore.image_at(workload_id, type, seq)
        if image is None:
            raise NotFound(f"Workload {workload_id} has no {type.value} image number {seq} (yet).")
        return image

    @deferred
    async def images(
        self, by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Sequence[Image]:
        users_only(by)
        await self._known_workload(by, workload_id)
        return await self.datastore.images(workload_id, type, after, limit)

    @deferred
    async def images_at(
        self, by: Principal, workload_id: str, type: ImageType, seqs: Sequence[int]
    ) -> Sequence[Image]:
        users_only(by)
        await self._known_workload(by, workload_id)
        return await self.datastore.images_at(workload_id, type, seqs)

    @deferred
    async def places(self, by: Principal, workload_id: str, which: PlaceSelection) -> Sequence[int]:
        users_only(by)
        await self._known_workload(by, workload_id)
        return await self.datastore.places(workload_id, which)

    # Presets

    @deferred
    async def presets(self, by: Principal) -> Sequence[Preset]:
        users_only(by)
        return await self.datastore.presets(by.name)

    @deferred
    async def preset(self, by: Principal, name: str) -> Preset:
        users_only(by)
        return await self.datastore.preset(by.name, name)

    @deferred
    async def save_preset(self, by: Principal, spec: WorkloadSpec, force: bool) -> Preset:
        users_only(by)
        preset = await self.datastore.save_preset(by.name, spec, force, self.clock())
        self._record(by.name, "save-preset", spec.name)
        return preset

    @deferred
    async def delete_preset(self, by: Principal, name: str) -> None:
        users_only(by)
        await self.datastore.delete_preset(by.name, name)
        self._record(by.name, "delete-preset", name)

    # The system

    @deferred
    async def first_password(self) -> str | None:
        path = self.first_password_at()
        return None if path is None or await self.datastore.tokens(None, 1) else path

    @deferred
    async def workers(
        self, by: Principal, joined: bool | None, after: str | None, limit: int | None
    ) -> Sequence[tuple[WorkerRecord, Load | None]]:
        admins_only(by)
        return [self._with_load(record) for record in await self.datastore.workers(joined, after, limit)]

    def _with_load(self, record: WorkerRecord) -> tuple[WorkerRecord, Load | None]:
        newest = self.telemetry.latest(record.info.name)
        if newest is None:
            return record, None
        seen = max(record.last_seen, newest.at) if record.joined else record.last_seen
        return evolve(record, last_seen=seen), newest.load

    @deferred
    async def worker_history(self, by: Principal, name: str, since: float) -> Sequence[Sample]:
        admins_only(by)
        return await self.telemetry.history(name, since)

    @deferred
    async def worker_tags(self, by: Principal) -> Sequence[str]:
        users_only(by)
        return sorted(self.tags_of_workers())

    @deferred
    async def worker_jobs(self, by: Principal, name: str) -> Sequence[WorkerJob]:
        admins_only(by)
        session, newest = self.session_of_worker(name), self.telemetry.latest(name)
        held = [] if session is None else self.scheduler.held_by(session)
        running = set() if newest is None else set(newest.load.running)
        return [_held_job(job, job.lease.job in running) for job in held]

    @deferred
    async def forget_worker(self, by: Principal, name: str) -> None:
        admins_only(by)
        await self.datastore.forget_worker(name)
        self._record(by.name, "forget-worker", name)

    @deferred
    async def drain_worker(self, by: Principal, name: str) -> None:
        admins_only(by)
        self.dismiss_worker(name)
        self._record(by.name, "drain-worker", name)

    @deferred
    async def resume_worker(self, by: Principal, name: str) -> None:
        admins_only(by)
        if not self.restart_worker(name):
            raise Conflict(
                f"{name[:64]!r} is not a drained worker in the service's process: start it on its machine."
            )
        self._record(by.name, "resume-worker", name)

    @deferred
    async def revoke_worker(self, by: Principal, name: str) -> int:
        admins_only(by)
        revoked = await self.datastore.revoke_worker(name, self.clock())
        self.expel_worker(name)
        await self._tokens_die(name)
        self._record(by.name, "revoke-worker", name)
        return revoked

    @deferred
    async def join_token(self, by: Principal) -> NewcomersToken:
        admins_only(by)
        return _for_newcomers(self.join_tokens.file.current)

    @deferred
    async def rotate_join_token(self, by: Principal, seconds: float | None, grace: float) -> NewcomersToken:
        admins_only(by)
        token = await self.join_tokens.rotate(seconds, grace)
        self._record(by.name, "rotate-join-token", "", expires_at=token.expires)
        return _for_newcomers(token)

    @deferred
    async def activity(
        self,
        by: Principal,
        before: int | None,
        limit: int,
        subject: str | None = None,
        actor: str | None = None,
    ) -> Sequence[tuple[int, Activity]]:
        admins_only(by)
        return await self.datastore.activity(before, limit, subject, actor)

    @deferred
    async def metrics(self, by: Principal) -> Sequence[Metric]:
        workers = await self.workers(by, True, None, None)
        accepted, filtered, failed = await self.datastore.totals()
        computing = sum(len(load.running) for _, load in workers if load is not None)
        waiting = max(0, accepted - filtered - failed - computing)
        jobs = {"waiting": waiting, "computing": computing, "done": filtered, "failed": failed}
        total, free = self.disk_usage()
        known = {"joined": len(workers), "gone": await self.datastore.gone_workers()}
        return [
            gauge("dpip_build_info", "The version that runs.", "version", {__version__: 1.0}),
            gauge("dpip_disk_bytes", "Of the disk with the images.", "state", {"total": total, "free": free}),
            gauge("dpip_jobs", "Jobs of the workloads that are there.", "state", dict(jobs)),
            gauge("dpip_workers", "Workers that are known.", "state", dict(known)),
            *self.meters.metrics(),
        ]

    @deferred
    async def requests_served(self, times: Sequence[RequestTimes]) -> None:
        self.meters.requests_served(times)

    def warnings(self) -> Deferred[Sequence[str]]:
        return succeed(self.operator_warnings())

    # What the controller does by itself

    @deferred
    async def retire_workload(self, workload: Workload, if_empty: bool) -> None:
        """Delete a workload whose time to be kept is over, or (``if_empty``) that still has no images."""
        if await self.datastore.delete_workload(workload.id, self.clock(), if_empty) is not None:
            self._record(
                "dpip", "retire-workload", workload.id, name=workload.spec.name, owner=workload.owner
            )
            self._forget_workload(workload)

    async def _known_workload(self, by: Principal, workload_id: str) -> Workload:
        return owned(by, await self.datastore.workload(workload_id), workload_id)

    def _forget_workload(self, workload: Workload) -> None:
        self.scheduler.workload_dropped(workload.id)
        self.feed.workload_deleted(workload)
        self._log_failure(
            self.image_store.discard_directory(workload.directory), "files of a deleted workload"
        )

    def _discard(self, files: Sequence[StoredFile]) -> None:
        for file in files:
            self._log_failure(self.image_store.discard(file.path), "a surplus file")

    def _record(self, actor: str, action: str, subject: str, **detail: Any) -> None:
        activity = Activity(self.clock(), actor, action, subject, detail)
        self._log_failure(self.datastore.record(activity), "the activity record")

    def _log_failure(self, work: Deferred[None], what: str) -> None:
        """Log the failure of work that nobody waits for; it loses nothing, since the sweep does it again."""

        def failed(failure: Failure) -> None:
            if failure.check(DpipError):  # a full disk, say: no bug, and too often for a traceback each time
                self.log.warn("Could not take care of {what}: {error}", what=what, error=failure.value)
            else:
                self.log.failure("Could not take care of {what}", failure, what=what)

        work.addErrback(failed)


# After these the datastore has kept nothing of a file for certain. After another failure of a commit it may
# have: then the file stays until the sweep has looked for its row.
_REFUSED = (NotFound, Forbidden, Conflict, TooLarge, KeyReused)


def _refusal(error: BaseException | None) -> CommitReceipt:
    if not isinstance(error, DpipError):  # a bug, which has been logged
        error = RetryLater("The result could not be recorded. The server's log says why.")
    return CommitReceipt(None, error.code, error.detail, error.members, error.retry_after or 0)


def _for_newcomers(token: JoinToken) -> NewcomersToken:
    return NewcomersToken(str(token), token.made or None, token.expires)


def _held_job(job: LeasedJob, computing: bool) -> WorkerJob:
    original = job.original
    return WorkerJob(job.workload_id, original.seq, original.file.name, job.steps, computing)


def _a(type: ImageType) -> str:
    return "an original" if type is ImageType.ORIGINAL else "a filtered"

"""A controller in memory: owners, places, leases, keys and quotas as the real one has them, and no disk."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterator, Sequence
from functools import wraps
from typing import Any, ParamSpec, TypeVar

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock
from zope.interface import implementer

from dpip import errors
from dpip.controller.feed import Feed, Interest
from dpip.interfaces import IAdmission, IController, IImageStore
from dpip.model import (
    ALL,
    Activity,
    CommitReceipt,
    Eta,
    Failure,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Metric,
    NewcomersToken,
    PlaceOrder,
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
)
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Meters
from dpip.testing.accounts import MemoryAccounts
from dpip.testing.hold import Hold
from dpip.testing.jobs import MemoryJob, MemoryWorkload

P = ParamSpec("P")
T = TypeVar("T")


@implementer(IAdmission)
@define
class MemoryAdmission:
    limit: int
    _admitted: set[int]

    def grow(self, size: int) -> None:
        """Do nothing, as below."""

    def arrived(self) -> None:
        """Do nothing: here nobody is refused for load."""

    def release(self) -> None:
        self._admitted.discard(id(self))


def _asked(method: Callable[P, Coroutine[Deferred[Any], Any, T]]) -> Callable[P, Deferred[T]]:
    """Have the calls of a method logged, and wait while it is held."""

    @deferred
    @wraps(method)
    async def ask(*args: P.args, **kwargs: P.kwargs) -> T:
        controller: Any = args[0]
        controller.log.append((method.__name__, *args[1:]))
        if method.__name__ in controller._held:
            await controller._held[method.__name__].wait()
        return await method(*args, **kwargs)

    return ask


@implementer(IController)
@define(slots=False)
class MemoryController:
    """A controller that a test plays with. There is an admin, see ``accounts``.

    ``clock`` gives seconds since the epoch, ``ids()`` new ids; ``timers`` are for clients that watch.
    """

    clock: Callable[[], float]
    ids: Callable[[], str]
    image_store: IImageStore
    timers: IReactorTime = field(factory=Clock)
    max_pixels: int = 100_000_000
    max_upload: int = 100 * 1024 * 1024
    log: list[tuple[Any, ...]] = field(factory=list)
    admitted: set[int] = field(factory=set)  # uploads under way
    operator_warnings: list[str] = field(factory=list)
    newcomers_token: NewcomersToken = field(factory=lambda: NewcomersToken("pin.secret", None, None))
    worker_records: list[tuple[WorkerRecord, Load | None]] = field(factory=list)
    drained: set[str] = field(factory=set)
    samples: dict[str, list[Sample]] = field(factory=dict)
    thumbnails: dict[str, bytes] = field(factory=dict)  # by image
    etas: dict[str, Eta] = field(factory=dict)  # by workload
    activities: list[Activity] = field(factory=list)
    webhooks: dict[str, Webhook] = field(factory=dict)  # by workload
    accounts: MemoryAccounts = field(init=False)
    feed: Feed = field(init=False)
    first_password_at: str | None = None
    meters: Meters = field(factory=Meters)
    _presets: dict[tuple[str, str], Preset] = field(factory=dict, init=False)  # by owner and name
    _known: dict[str, MemoryWorkload] = field(factory=dict, init=False)
    _keys: dict[tuple[str, str], tuple[str, Any]] = field(factory=dict, init=False)
    _held: dict[str, Hold] = field(factory=dict, init=False)
    _job_count: int = field(default=0, init=False)

    def __attrs_post_init__(self) -> None:
        self.accounts = MemoryAccounts(self.clock, self.ids)
        self.feed = Feed(self.timers, self._look, "memory")

    # For tests

    def hold(self, method: str) -> Hold:
        """Make calls of ``method`` wait until the hold is released."""
        return self._held.setdefault(method, Hold())

    def join_worker(self, name: str) -> str:
        """Return a token of the worker."""
        return self.accounts.new_token(Principal(name, Role.WORKER, f"session-of-{name}")).secret

    def release_worker(self, name: str) -> None:
        """End the worker's link, and its tokens with it."""
        for record in self.accounts.tokens(name):
            self.accounts.revoke_token(record.id, name)

    def lease(self, worker: str) -> LeasedJob | None:
        """Give the oldest waiting job to this worker."""
        for known, job in self._all_jobs():
            if job.waiting:
                self.feed.workload_changed(known.workload.id)
                return known.lease_job(job, f"session-of-{worker}")
        return None

    def requeue(self, lease: Lease) -> None:
        """Lose the worker: its lease is void."""
        for known, job in self._all_jobs():
            if job.lease == lease:
                job.holder = None
                self.feed.workload_changed(known.workload.id)

    def fail_job(self, lease: Lease, code: str, detail: str) -> None:
        for known, job in self._all_jobs():
            if job.lease == lease:
                original = job.original
                failure = Failure(original.seq, original.id, original.file.name, code, detail)
                known.end_job(job, failure, self.clock())
                self.feed.workload_changed(known.workload.id)

    # Accounts

    @_asked
    async def login(self, name: str, password: str, address: str) -> Token:
        return self.accounts.login(name, password)

    @_asked
    async def authenticate(self, secret: str) -> Principal:
        return self.accounts.authenticate(secret)

    @_asked
    async def logout(self, secret: str) -> None:
        principal = self.accounts.authenticate(secret)
        self.accounts.logout(secret)
        self.feed.wake(principal.name)

    @_asked
    async def users(self, by: Principal) -> Sequence[User]:
        return [evolve(user, used=self._used(user.name)) for user in self.accounts.all_users()]

    @_asked
    async def add_user(self, by: Principal, name: str, password: str, role: Role, quota: int | None) -> User:
        return self.accounts.add_user(name, password, role, quota)

    @_asked
    async def remove_user(self, by: Principal, name: str) -> None:
        self.accounts.remove_user(name)
        self._known = {id: known for id, known in self._known.items() if known.workload.owner != name}
        self.feed.wake(name)

    @_asked
    async def set_password(self, by: Principal, name: str, password: str, old_password: str | None) -> None:
        if by.name != name and not by.is_admin:
            raise errors.Forbidden("Only an admin may do this.")
        if by.name == name:
            self.accounts.check_old_password(name, old_password)
        self.accounts.set_password(name, password)
        self.feed.wake(name)

    @_asked
    async def tokens(self, by: Principal, user: str | None, limit: int) -> Sequence[TokenRecord]:
        return self.accounts.tokens(self._whose(by, user))[:limit]

    @_asked
    async def add_token(
        self, by: Principal, user: str | None, name: str, seconds: float
    ) -> tuple[TokenRecord, Token]:
        owner = by.name if user is None else self._whose(by, user) or user
        return self.accounts.add_token(owner, name, seconds)

    @_asked
    async def revoke_token(self, by: Principal, token_id: str) -> TokenRecord:
        record = self.accounts.revoke_token(token_id, None if by.is_admin else by.name)
        self.feed.wake(record.user)
        return record

    # Workloads

    @_asked
    async def create_workload(
        self, by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None
    ) -> Progress:
        earlier = self._earlier(key)
        if earlier is not None:
            return self._owned(by, earlier).progress()
        workload_id = self.ids()
        workload = Workload(workload_id, by.name, spec, f"w-{workload_id}", self.clock())
        self._known[workload.id] = MemoryWorkload(workload)
        self.feed.workload_changed(workload.id)
        self._remember(key, workload.id)
        return Progress(workload)

    @_asked
    async def workload(self, by: Principal, workload_id: str) -> Progress:
        return self._owned(by, workload_id).progress(self.etas.get(workload_id))

    @_asked
    async def workloads(
        self, by: Principal, which: Selection = ALL, after: str | None = None, limit: int = 100
    ) -> Sequence[Progress]:
        found = [known.progress() for known in self._visible(by)]
        found.sort(key=lambda progress: progress.workload.id, reverse=True)
        found = [one for one in found if which.takes(one.workload)]
        return [one for one in found if after is None or one.workload.id < after][:limit]

    @_asked
    async def why(self, by: Principal, workload_id: str) -> Sequence[Reason]:
        return self._owned(by, workload_id).reasons()

    @_asked
    async def endings(self, by: Principal, workload_id: str) -> Sequence[int]:
        return self._owned(by, workload_id).endings()

    @_asked
    async def results(self, by: Principal, workload_id: str, page: int) -> Results:
        return self._owned(by, workload_id).results(page)

    @_asked
    async def cancel_workload(self, by: Principal, workload_id: str) -> tuple[Progress, int]:
        known = self._owned(by, workload_id)
        ended = known.cancel(self.clock())
        self.feed.workload_changed(workload_id)
        return known.progress(), ended

    @_asked
    async def retry_images(
        self, by: Principal, workload_id: str, image_ids: Sequence[str] | None
    ) -> tuple[Progress, int]:
        known = self._owned(by, workload_id)
        originals = {job.original.id for job in known.jobs}
        missing = [image_id for image_id in image_ids or () if image_id not in originals]
        if missing:
            raise errors.NotFound(f"The workload has no original {missing[0]!r}.")
        failed = [
            job for job in known.jobs if job.failure and (image_ids is None or job.original.id in image_ids)
        ]
        for job in failed:
            self._job_count += 1
            known.retry_job(job, self._job_count)
        if failed:
            known.count(self.clock())
            self.feed.workload_changed(workload_id)
        return known.progress(), len(failed)

    @_asked
    async def webhook(self, by: Principal, workload_id: str) -> WebhookState:
        self._owned(by, workload_id)
        if workload_id not in self.webhooks:
            raise errors.NotFound(f"Workload {workload_id} has no webhook.")
        return WebhookState(self.webhooks[workload_id].url, True, None)

    @_asked
    async def seal_workload(self, by: Principal, workload_id: str, webhook: Webhook | None) -> Progress:
        known = self._owned(by, workload_id)
        if webhook is not None:
            if "allowed.example" not in webhook.url:
                raise errors.BadParameter("This server calls no webhooks there (--webhook-hosts).")
            if known.workload.sealed and self.webhooks.get(workload_id) != webhook:
                raise errors.Conflict("It is sealed already, without this webhook.")
            self.webhooks[workload_id] = webhook
        known.seal(self.clock())
        self.feed.workload_changed(workload_id)
        return known.progress()

    @_asked
    async def delete_workload(self, by: Principal, workload_id: str) -> None:
        known = self._owned(by, workload_id)
        del self._known[workload_id]
        self.feed.workload_deleted(known.workload)
        await self.image_store.discard_directory(known.workload.directory)

    @_asked
    async def updates(self, by: Principal, workload_id: str | None, after: str | None, wait: bool) -> Updates:
        known = self._visible(by) if workload_id is None else [self._owned(by, workload_id)]
        workers = by.is_admin and workload_id is None
        if after is not None and self.feed.knows(after):
            owner = None if by.is_admin else by.name
            return await self.feed.since(after, Interest(owner, workload_id, workers, by.name), wait)
        items = [Update("", workload=one.progress(self.etas.get(one.workload.id))) for one in known]
        if workers:
            states = [WorkerState(record.info.name, True, load) for record, load in self.worker_records]
            items += [Update("", worker=state) for state in states]
        return Updates(self.feed.position, items, snapshot=True)

    @deferred
    async def _look(self, workload_id: str) -> Progress | None:
        known = self._known.get(workload_id)
        return None if known is None else known.progress(self.etas.get(workload_id))

    # Images

    def admit_upload(self, by: Principal, length: int | None, room: int | None = None) -> IAdmission:
        self.log.append(("admit_upload", by.name, length))
        if length is not None and length > self.max_upload:
            raise errors.TooLarge(f"This server takes at most {self.max_upload} bytes.")
        admission = MemoryAdmission(self.max_upload if length is None else length, self.admitted)
        self.admitted.add(id(admission))
        return admission

    @_asked
    async def check_quota(self, by: Principal, size: int, key: str | None) -> int | None:
        used = 0 if (by.name, key) in self._keys else self._used(by.name)
        return errors.QuotaExceeded.check(size, used, 0, self.accounts.user(by.name).quota)

    @_asked
    async def check_upload(
        self, by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Workload:
        workload = self._owned(by, workload_id).workload
        if (by.name, key) not in self._keys:
            self._check_quota(workload.owner, sum(sizes))
        return workload

    @_asked
    async def commit_originals(
        self,
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Sequence[Image]:
        try:
            earlier: Sequence[Image] | None = self._earlier(key)
            known = self._owned(by, workload_id)
            if earlier is None and known.workload.sealed:
                raise errors.Sealed.workload(workload_id)
            if earlier is None:
                self._check_quota(known.workload.owner, sum(file.size for _, file in files))
        except (errors.NotFound, errors.KeyReused, errors.QuotaExceeded, errors.Sealed):
            await self._discard(files)
            raise
        if earlier is not None:
            await self._discard(files)
            return earlier
        images = [self._new_original(known, image_id, file) for image_id, file in files]
        self._remember(key, images)
        self.feed.workload_changed(workload_id)
        return images

    @_asked
    async def held(self, by: Principal, image_ids: Sequence[str]) -> Sequence[LeasedJob | None]:
        jobs = {
            job.original.id: known.leased_job(job)
            for known, job in self._all_jobs()
            if job.holder == by.session and by.role is Role.WORKER
        }
        return [jobs.get(image_id) for image_id in image_ids]

    @_asked
    async def check_leases(self, by: Principal, leases: Sequence[Lease]) -> Sequence[LeasedJob | None]:
        return [self._leased(by, lease) for lease in leases]

    def _leased(self, by: Principal, lease: Lease) -> LeasedJob | None:
        try:
            known, job = self._by_lease(by, lease)
        except errors.StaleLease:
            return None
        return known.leased_job(job)

    @_asked
    async def accuse(self, by: Principal, lease: Lease, what: str) -> None:
        """Do nothing: the log says so."""

    @_asked
    async def commit_results(
        self, by: Principal, results: Sequence[tuple[Lease, StoredFile]]
    ) -> Sequence[CommitReceipt]:
        return [await self._commit_result(by, lease, file) for lease, file in results]

    async def _commit_result(self, by: Principal, lease: Lease, file: StoredFile) -> CommitReceipt:
        try:
            known, job = self._by_lease(by, lease)
        except errors.StaleLease as stale:
            await self.image_store.discard(file.path)
            return CommitReceipt(None, stale.code, stale.detail)
        workload_id, seq = known.workload.id, job.original.seq
        result = Image(job.result_id, workload_id, ImageType.FILTERED, seq, file, self.clock())
        known.end_job(job, result, self.clock())
        self.feed.workload_changed(workload_id)
        return CommitReceipt(result)

    @_asked
    async def image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        if reference.isdigit() and len(reference) <= 10 and by.role is not Role.WORKER:
            if workload_id is None:
                raise errors.Malformed(f"{reference} is a place within a workload: send workload_id with it.")
            images = self._owned(by, workload_id).images(type or ImageType.FILTERED)
            found = [image for image in images if image.seq == int(reference)]
        else:
            found = [image for image in self._readable(by) if image.id == reference]
        if not found or type not in (None, found[0].type) or workload_id not in (None, found[0].workload_id):
            raise errors.NotFound(f"There is no image {reference!r}.")
        return found[0]

    @_asked
    async def find_images(self, by: Principal, image_ids: Sequence[str]) -> Sequence[Image | None]:
        readable = {image.id: image for image in self._readable(by)}
        return [readable.get(image_id) for image_id in image_ids]

    @_asked
    async def thumbnail(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Thumbnail:
        image = await self.image(by, reference, workload_id, type)
        if image.id not in self.thumbnails:
            raise errors.RetryLater("There is no worker that can make the thumbnail at the moment.", 5)
        return Thumbnail(image, self.thumbnails[image.id])

    @_asked
    async def images(
        self, by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Sequence[Image]:
        images = self._owned(by, workload_id).images(type)
        return [image for image in images if after is None or image.seq > after][:limit]

    @_asked
    async def images_at(
        self, by: Principal, workload_id: str, type: ImageType, seqs: Sequence[int]
    ) -> Sequence[Image]:
        return [image for image in self._owned(by, workload_id).images(type) if image.seq in seqs]

    @_asked
    async def places(self, by: Principal, workload_id: str, which: PlaceSelection) -> Sequence[int]:
        jobs = [job for job in self._owned(by, workload_id).jobs if job.failure or not which.failed]
        found = [job.original for job in jobs if which.name.lower() in (job.original.file.name or "").lower()]
        keys: dict[PlaceOrder, Callable[[Image], Any]] = {
            PlaceOrder.SEQ: lambda image: image.seq,
            PlaceOrder.NAME: lambda image: (image.file.name or "", image.seq),
            PlaceOrder.SIZE: lambda image: (image.file.size, image.seq),
        }
        found.sort(key=keys[which.order], reverse=which.descending)
        return [image.seq for image in found]

    # Presets

    @_asked
    async def presets(self, by: Principal) -> Sequence[Preset]:
        mine = [preset for (owner, _), preset in self._presets.items() if owner == by.name]
        return sorted(mine, key=lambda preset: preset.name)

    @_asked
    async def preset(self, by: Principal, name: str) -> Preset:
        if (by.name, name) not in self._presets:
            raise errors.NotFound(f"There is no preset {name!r}.")
        return self._presets[by.name, name]

    @_asked
    async def save_preset(self, by: Principal, spec: WorkloadSpec, force: bool) -> Preset:
        if (by.name, spec.name) in self._presets and not force:
            raise errors.Conflict(f"There is a preset {spec.name!r} already.")
        self._presets[by.name, spec.name] = Preset(spec.name, spec, self.clock())
        return self._presets[by.name, spec.name]

    @_asked
    async def delete_preset(self, by: Principal, name: str) -> None:
        await self.preset(by, name)
        del self._presets[by.name, name]

    # The system

    @_asked
    async def first_password(self) -> str | None:
        return self.first_password_at

    @_asked
    async def workers(
        self, by: Principal, joined: bool | None, after: str | None, limit: int | None
    ) -> Sequence[tuple[WorkerRecord, Load | None]]:
        by_name = sorted(self.worker_records, key=lambda known: known[0].info.name)
        wanted = [one for one in by_name if joined is None or one[0].joined == joined]
        return [one for one in wanted if after is None or one[0].info.name > after][:limit]

    @_asked
    async def worker_history(self, by: Principal, name: str, since: float) -> Sequence[Sample]:
        return [sample for sample in self.samples.get(name, ()) if sample.at >= since]

    @_asked
    async def worker_tags(self, by: Principal) -> Sequence[str]:
        return sorted({tag for record, _ in self.worker_records if record.joined for tag in record.info.tags})

    @_asked
    async def worker_jobs(self, by: Principal, name: str) -> Sequence[WorkerJob]:
        return [
            WorkerJob(
                known.workload.id, job.original.seq, job.original.file.name, known.workload.spec.steps, True
            )
            for known, job in self._all_jobs()
            if job.holder == f"session-of-{name}"
        ]

    @_asked
    async def forget_worker(self, by: Principal, name: str) -> None:
        found = [pair for pair in self.worker_records if pair[0].info.name == name]
        if not found:
            raise errors.NotFound(f"No worker named {name!r} has ever joined.")
        if found[0][0].joined:
            raise errors.Conflict(f"The worker {name} has joined: drain it first.")
        self.worker_records.remove(found[0])

    @_asked
    async def drain_worker(self, by: Principal, name: str) -> None:
        if name not in {record.info.name for record, _ in self.worker_records if record.joined}:
            raise errors.NotFound(f"No worker named {name!r} has joined.")

    @_asked
    async def resume_worker(self, by: Principal, name: str) -> None:
        if name not in self.drained:
            raise errors.Conflict(f"{name!r} is not a drained worker in the service's own process.")

    @_asked
    async def revoke_worker(self, by: Principal, name: str) -> int:
        if name not in {record.info.name for record, _ in self.worker_records}:
            raise errors.NotFound(f"No worker named {name!r} has ever joined.")
        return 1

    @_asked
    async def join_token(self, by: Principal) -> NewcomersToken:
        return self.newcomers_token

    @_asked
    async def rotate_join_token(self, by: Principal, seconds: float | None, grace: float) -> NewcomersToken:
        now = self.clock()
        self.newcomers_token = NewcomersToken(
            f"pin.secret{now}", now, None if seconds is None else now + seconds
        )
        return self.newcomers_token

    @_asked
    async def activity(
        self,
        by: Principal,
        before: int | None,
        limit: int,
        subject: str | None = None,
        actor: str | None = None,
    ) -> Sequence[tuple[int, Activity]]:
        numbered = list(enumerate(self.activities, 1))[::-1]
        chosen = [
            pair for pair in numbered if subject in (None, pair[1].subject) and actor in (None, pair[1].actor)
        ]
        return [pair for pair in chosen if before is None or pair[0] < before][:limit]

    @_asked
    async def metrics(self, by: Principal) -> Sequence[Metric]:
        return self.meters.metrics()

    @_asked
    async def requests_served(self, times: Sequence[RequestTimes]) -> None:
        self.meters.requests_served(times)

    def warnings(self) -> Deferred[Sequence[str]]:
        return succeed(self.operator_warnings)

    # Within

    def _whose(self, by: Principal, user: str | None) -> str | None:
        if not by.is_admin and user not in (None, by.name):
            raise errors.Forbidden("Only an admin may do this for another user.")
        return user if by.is_admin else by.name

    def _owned(self, by: Principal, workload_id: str) -> MemoryWorkload:
        known = self._known.get(workload_id)
        if by.role is Role.WORKER:
            raise errors.Forbidden("A worker's token reaches only the jobs leased to it.")
        if known is None or not (by.is_admin or known.workload.owner == by.name):
            raise errors.NotFound(f"There is no workload {workload_id!r}.")
        return known

    def _visible(self, by: Principal) -> list[MemoryWorkload]:
        return [known for known in self._known.values() if by.is_admin or known.workload.owner == by.name]

    def _readable(self, by: Principal) -> list[Image]:
        if by.role is Role.WORKER:
            return [job.original for _, job in self._all_jobs() if job.holder == by.session]
        return [image for known in self._visible(by) for kind in ImageType for image in known.images(kind)]

    def _all_jobs(self) -> Iterator[tuple[MemoryWorkload, MemoryJob]]:
        for known in self._known.values():
            for job in known.jobs:
                yield known, job

    def _by_lease(self, by: Principal, lease: Lease) -> tuple[MemoryWorkload, MemoryJob]:
        for known, job in self._all_jobs():
            if job.lease == lease and job.holder == by.session and by.role is Role.WORKER:
                return known, job
        raise errors.StaleLease("This job is not leased to this worker, or not any more.")

    def _earlier(self, key: IdempotencyKey | None) -> Any:
        if key is None or (key.owner, key.key) not in self._keys:
            return None
        fingerprint, answer = self._keys[key.owner, key.key]
        if fingerprint != key.fingerprint:
            raise errors.KeyReused("The key belongs to another request.")
        return answer

    def _remember(self, key: IdempotencyKey | None, answer: Any) -> None:
        if key is not None:
            self._keys[key.owner, key.key] = key.fingerprint, answer

    def _check_quota(self, owner: str, size: int) -> None:
        errors.QuotaExceeded.check(size, self._used(owner), 0, self.accounts.user(owner).quota)

    def _used(self, owner: str) -> int:
        return sum(known.workload.size for known in self._known.values() if known.workload.owner == owner)

    async def _discard(self, files: Sequence[tuple[str, StoredFile]]) -> None:
        for _, file in files:
            await self.image_store.discard(file.path)

    def _new_original(self, known: MemoryWorkload, image_id: str, file: StoredFile) -> Image:
        seq = len(known.jobs)
        original = Image(image_id, known.workload.id, ImageType.ORIGINAL, seq, file, self.clock())
        self._job_count += 1
        known.jobs.append(MemoryJob(self._job_count, original, self.ids()))
        known.count(self.clock())
        return original

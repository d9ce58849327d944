"""A controller in memory: owners, places, leases, keys and quotas as the real one has them, and no disk."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred
from zope.interface import implementer

from dpip.asynchronous import deferred
from dpip.errors import (
    BadCredentials,
    BadParameter,
    Conflict,
    Forbidden,
    KeyReused,
    Malformed,
    NotFound,
    QuotaExceeded,
    StaleLease,
    TooLarge,
    Unauthenticated,
)
from dpip.interfaces import IAdmission, IController, IImageStore
from dpip.model import (
    Activity,
    Failure,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Principal,
    Role,
    Sample,
    StoredFile,
    Token,
    User,
    WorkerRecord,
    Workload,
    WorkloadSpec,
)

TOKEN_SECONDS = 3600.0


@define
class _Job:
    number: int
    original: Image
    result_id: str
    attempt: int = 0
    holder: str | None = None
    result: Image | None = None
    failure: Failure | None = None

    @property
    def lease(self) -> Lease:
        return Lease(self.number, self.attempt, f"nonce-{self.number}-{self.attempt}")


@define
class Hold:
    """``reached`` fires when somebody waits here; :meth:`release` lets all go on, now and later."""

    reached: Deferred[None] = field(factory=Deferred)
    _released: Deferred[None] = field(factory=Deferred)

    async def wait(self) -> None:
        if not self.reached.called:
            self.reached.callback(None)
        await self._released

    def release(self) -> None:
        self._released.callback(None)


@implementer(IAdmission)
@define
class MemoryAdmission:
    limit: int
    _desk: set[int]

    def release(self) -> None:
        self._desk.discard(id(self))


@implementer(IController)
@define(slots=False)
class MemoryController:
    """``clock`` gives seconds since the epoch. It begins with the admin ``admin``, password ``password``."""

    clock: Callable[[], float]
    ids: Callable[[], str]
    image_store: IImageStore
    max_pixels: int = 100_000_000
    max_upload: int = 100 * 1024 * 1024
    log: list[tuple[Any, ...]] = field(factory=list)
    admitted: set[int] = field(factory=set)  # uploads under way
    operator_warnings: list[str] = field(factory=list)
    worker_records: list[tuple[WorkerRecord, Load | None]] = field(factory=list)
    samples: dict[str, list[Sample]] = field(factory=dict)
    activities: list[Activity] = field(factory=list)
    _users: dict[str, tuple[User, str]] = field(factory=dict)
    _tokens: dict[str, tuple[Principal, float]] = field(factory=dict)
    _workloads: dict[str, Workload] = field(factory=dict)
    _jobs: dict[str, list[_Job]] = field(factory=dict)
    _known_keys: dict[tuple[str, str], tuple[str, Any]] = field(factory=dict)
    _held: dict[str, Hold] = field(factory=dict)
    _job_count: int = 0

    def __attrs_post_init__(self) -> None:
        self._users["admin"] = User("admin", Role.ADMIN, self.clock(), None, 0), "password"

    # For tests

    def hold(self, method: str) -> Hold:
        """Calls of ``method`` wait until the hold is released."""
        return self._held.setdefault(method, Hold())

    def join_worker(self, name: str) -> str:
        """A worker's token."""
        return self._new_token(Principal(name, Role.WORKER, f"session-of-{name}")).secret

    def lease(self, worker: str) -> LeasedJob | None:
        """Give the oldest waiting job to this worker."""
        for workload_id, jobs in self._jobs.items():
            for job in jobs:
                if job.holder is None and job.result is None and job.failure is None:
                    job.attempt += 1
                    job.holder = f"session-of-{worker}"
                    return self._leased(workload_id, job)
        return None

    def requeue(self, lease: Lease) -> None:
        """The worker is lost: its lease is void."""
        for jobs in self._jobs.values():
            for job in jobs:
                if job.lease == lease:
                    job.holder = None

    def fail_job(self, lease: Lease, code: str, detail: str) -> None:
        for jobs in self._jobs.values():
            for job in jobs:
                if job.lease == lease:
                    original = job.original
                    job.failure = Failure(original.seq, original.id, original.file.name, code, detail)
                    job.holder = None
                    self._changed(original.workload_id)

    # Accounts

    @deferred
    async def login(self, name: str, password: str, address: str) -> Token:
        await self._asked("login", name, address)
        found = self._users.get(name)
        if found is None or found[1] != password:
            raise BadCredentials("The user name or the password is wrong.")
        return self._new_token(Principal(name, found[0].role))

    @deferred
    async def authenticate(self, secret: str) -> Principal:
        await self._asked("authenticate")
        principal, expires_at = self._tokens.get(secret, (None, 0.0))
        if principal is None or expires_at <= self.clock():
            raise Unauthenticated("The token is not valid, or not any more.")
        return principal

    @deferred
    async def logout(self, secret: str) -> None:
        await self._asked("logout")
        self._tokens.pop(secret, None)

    @deferred
    async def users(self, by: Principal) -> Sequence[User]:
        await self._asked("users", by.name)
        return [self._users[name][0] for name in sorted(self._users)]

    @deferred
    async def add_user(self, by: Principal, name: str, password: str, role: Role, quota: int | None) -> User:
        await self._asked("add_user", by.name, name)
        if role is Role.WORKER:
            raise BadParameter("A user is a 'user' or an 'admin'.")
        if len(password) < 8:
            raise BadParameter("A password has at least 8 characters.")
        if name in self._users:
            raise Conflict(f"There is a user {name!r} already.")
        user = User(name, role, self.clock(), quota, 0)
        self._users[name] = user, password
        return user

    @deferred
    async def remove_user(self, by: Principal, name: str) -> None:
        await self._asked("remove_user", by.name, name)
        user = self._known_user(name)
        if user.role is Role.ADMIN and sum(u.role is Role.ADMIN for u, _ in self._users.values()) == 1:
            raise Conflict("The last admin stays.")
        del self._users[name]
        self._forget_tokens(name)
        for workload in [w for w in self._workloads.values() if w.owner == name]:
            self._forget(workload.id)

    @deferred
    async def set_password(self, by: Principal, name: str, password: str) -> None:
        await self._asked("set_password", by.name, name)
        if by.name != name and not by.is_admin:
            raise Forbidden("Only an admin may do this.")
        self._users[name] = self._known_user(name), password
        self._forget_tokens(name)

    # Workloads

    @deferred
    async def create_workload(
        self, by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None
    ) -> Workload:
        await self._asked("create_workload", by.name, spec.name)
        earlier = self._earlier(key)
        if earlier is not None:
            return self._owned(by, earlier)
        workload_id = self.ids()
        self._workloads[workload_id] = Workload(workload_id, by.name, spec, workload_id, self.clock())
        self._jobs[workload_id] = []
        self._remember(key, workload_id)
        return self._workloads[workload_id]

    @deferred
    async def workload(self, by: Principal, workload_id: str) -> Workload:
        await self._asked("workload", by.name)
        return self._owned(by, workload_id)

    @deferred
    async def workloads(
        self, by: Principal, unfinished_only: bool = False, after: str | None = None, limit: int = 100
    ) -> Sequence[Workload]:
        await self._asked("workloads", by.name)
        found = [w for w in self._workloads.values() if by.is_admin or w.owner == by.name]
        found.sort(key=lambda workload: workload.id, reverse=True)
        if unfinished_only:
            found = [workload for workload in found if workload.status != "completed"]
        return [workload for workload in found if after is None or workload.id < after][:limit]

    def running_jobs(self, workload_id: str) -> int:
        return sum(job.holder is not None for job in self._jobs.get(workload_id, ()))

    @deferred
    async def results(
        self, by: Principal, workload_id: str
    ) -> tuple[Sequence[tuple[int, str]], Sequence[Failure]]:
        await self._asked("results", by.name)
        self._owned(by, workload_id)
        jobs = self._jobs[workload_id]
        results = [(job.original.seq, job.result.id) for job in jobs if job.result is not None]
        return results, [job.failure for job in jobs if job.failure is not None]

    @deferred
    async def delete_workload(self, by: Principal, workload_id: str) -> None:
        await self._asked("delete_workload", by.name)
        await self.image_store.discard_directory(self._owned(by, workload_id).directory)
        self._forget(workload_id)

    # Images

    def admit_upload(self, by: Principal, length: int | None) -> IAdmission:
        self.log.append(("admit_upload", by.name, length))
        if length is not None and length > self.max_upload:
            raise TooLarge(f"This server takes at most {self.max_upload} bytes.")
        admission = MemoryAdmission(self.max_upload if length is None else length, self.admitted)
        self.admitted.add(id(admission))
        return admission

    @deferred
    async def check_upload(self, by: Principal, workload_id: str, sizes: Sequence[int]) -> Workload:
        await self._asked("check_upload", by.name, list(sizes))
        workload = self._owned(by, workload_id)
        self._check_quota(workload.owner, sum(sizes))
        return workload

    @deferred
    async def commit_originals(
        self,
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Sequence[Image]:
        await self._asked("commit_originals", by.name, len(files))
        try:
            earlier = self._earlier(key)
            workload = self._owned(by, workload_id)
            if earlier is None:
                self._check_quota(workload.owner, sum(file.size for _, file in files))
        except (NotFound, KeyReused, QuotaExceeded):
            await self._discard(files)
            raise
        if earlier is not None:
            await self._discard(files)
            return list(earlier)
        images = [self._new_original(workload_id, image_id, file) for image_id, file in files]
        self._remember(key, images)
        return images

    @deferred
    async def check_lease(self, by: Principal, lease: Lease) -> LeasedJob:
        await self._asked("check_lease", by.name)
        workload_id, job = self._by_lease(by, lease)
        return self._leased(workload_id, job)

    @deferred
    async def commit_result(self, by: Principal, lease: Lease, file: StoredFile) -> Image:
        await self._asked("commit_result", by.name)
        try:
            workload_id, job = self._by_lease(by, lease)
        except StaleLease:
            await self.image_store.discard(file.path)
            raise
        seq = job.original.seq
        job.result = Image(job.result_id, workload_id, ImageType.FILTERED, seq, file, self.clock())
        job.holder = None
        self._changed(workload_id)
        return job.result

    @deferred
    async def image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        await self._asked("image", by.name, reference)
        if reference.isdigit() and len(reference) <= 10 and by.role is not Role.WORKER:
            if workload_id is None:
                raise Malformed(f"{reference} is a place within a workload: send workload_id with it.")
            self._owned(by, workload_id)
            kind = type or ImageType.FILTERED
            found = [i for i in self._images(workload_id, kind) if i.seq == int(reference)]
        else:
            found = [image for image in self._readable(by) if image.id == reference]
        if not found or type not in (None, found[0].type) or workload_id not in (None, found[0].workload_id):
            raise NotFound(f"There is no image {reference!r}.")
        return found[0]

    @deferred
    async def images(
        self, by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Sequence[Image]:
        await self._asked("images", by.name)
        self._owned(by, workload_id)
        return [i for i in self._images(workload_id, type) if after is None or i.seq > after][:limit]

    # The system

    @deferred
    async def workers(self, by: Principal) -> Sequence[tuple[WorkerRecord, Load | None]]:
        await self._asked("workers", by.name)
        return self.worker_records

    @deferred
    async def worker_history(self, by: Principal, name: str, since: float) -> Sequence[Sample]:
        await self._asked("worker_history", by.name, name, since)
        return [sample for sample in self.samples.get(name, ()) if sample.at >= since]

    @deferred
    async def activity(self, by: Principal, before: int | None, limit: int) -> Sequence[tuple[int, Activity]]:
        await self._asked("activity", by.name)
        numbered = list(enumerate(self.activities, 1))[::-1]
        return [pair for pair in numbered if before is None or pair[0] < before][:limit]

    def warnings(self) -> Sequence[str]:
        return self.operator_warnings

    # Within

    async def _asked(self, method: str, *facts: Any) -> None:
        self.log.append((method, *facts))
        held = self._held.get(method)
        if held is not None:
            await held.wait()

    def _new_token(self, principal: Principal) -> Token:
        token = Token(f"token-{self.ids()}", principal.name, self.clock() + TOKEN_SECONDS)
        self._tokens[token.secret] = principal, token.expires_at
        return token

    def _forget_tokens(self, name: str) -> None:
        for secret in [s for s, (principal, _) in self._tokens.items() if principal.name == name]:
            del self._tokens[secret]

    def _known_user(self, name: str) -> User:
        if name not in self._users:
            raise NotFound(f"There is no user {name!r}.")
        return self._users[name][0]

    def _owned(self, by: Principal, workload_id: str) -> Workload:
        workload = self._workloads.get(workload_id)
        if by.role is Role.WORKER:
            raise Forbidden("A worker's token reaches only the jobs leased to it.")
        if workload is None or not (by.is_admin or workload.owner == by.name):
            raise NotFound(f"There is no workload {workload_id!r}.")
        return workload

    def _forget(self, workload_id: str) -> None:
        del self._workloads[workload_id]
        del self._jobs[workload_id]

    def _earlier(self, key: IdempotencyKey | None) -> Any:
        if key is None or (key.owner, key.key) not in self._known_keys:
            return None
        fingerprint, answer = self._known_keys[key.owner, key.key]
        if fingerprint != key.fingerprint:
            raise KeyReused("The key belongs to another request.")
        return answer

    def _remember(self, key: IdempotencyKey | None, answer: Any) -> None:
        if key is not None:
            self._known_keys[key.owner, key.key] = key.fingerprint, answer

    def _check_quota(self, owner: str, size: int) -> None:
        quota = self._known_user(owner).quota
        used = sum(workload.size for workload in self._workloads.values() if workload.owner == owner)
        if quota is not None and used + size > quota:
            raise QuotaExceeded(f"{owner} may store {quota} bytes.")

    async def _discard(self, files: Sequence[tuple[str, StoredFile]]) -> None:
        for _, file in files:
            await self.image_store.discard(file.path)

    def _new_original(self, workload_id: str, image_id: str, file: StoredFile) -> Image:
        jobs = self._jobs[workload_id]
        original = Image(image_id, workload_id, ImageType.ORIGINAL, len(jobs), file, self.clock())
        self._job_count += 1
        jobs.append(_Job(self._job_count, original, self.ids()))
        self._changed(workload_id)
        return original

    def _changed(self, workload_id: str) -> None:
        workload, jobs = self._workloads[workload_id], self._jobs[workload_id]
        stored = [
            image.file.size for job in jobs for image in (job.original, job.result) if image is not None
        ]
        filtered = sum(job.result is not None for job in jobs)
        failed = sum(job.failure is not None for job in jobs)
        self._workloads[workload_id] = evolve(
            workload,
            accepted=len(jobs),
            filtered=filtered,
            failed=failed,
            size=sum(stored),
            finished_at=self.clock() if filtered + failed == len(jobs) else None,
            version=workload.version + 1,
        )

    def _leased(self, workload_id: str, job: _Job) -> LeasedJob:
        spec = self._workloads[workload_id].spec
        return LeasedJob(job.lease, workload_id, job.original, job.result_id, spec.steps, spec.output)

    def _by_lease(self, by: Principal, lease: Lease) -> tuple[str, _Job]:
        for workload_id, jobs in self._jobs.items():
            for job in jobs:
                if job.lease == lease and job.holder == by.session and by.role is Role.WORKER:
                    return workload_id, job
        raise StaleLease("This job is not leased to this worker, or not any more.")

    def _images(self, workload_id: str, kind: ImageType) -> list[Image]:
        jobs = self._jobs[workload_id]
        if kind is ImageType.ORIGINAL:
            return [job.original for job in jobs]
        return [job.result for job in jobs if job.result is not None]

    def _readable(self, by: Principal) -> list[Image]:
        if by.role is Role.WORKER:
            jobs = [job for several in self._jobs.values() for job in several]
            return [job.original for job in jobs if job.holder == by.session]
        mine = [w.id for w in self._workloads.values() if by.is_admin or w.owner == by.name]
        return [
            image for workload_id in mine for kind in ImageType for image in self._images(workload_id, kind)
        ]

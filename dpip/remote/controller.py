"""The controller as an API process sees it."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Generic, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer

from dpip.admission import AdmissionDesk
from dpip.asynchronous import deferred
from dpip.errors import NotFound, RetryLater
from dpip.interfaces import IAdmission, IController
from dpip.model import (
    ALL,
    Activity,
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Metric,
    NewcomersToken,
    Principal,
    Progress,
    Reason,
    Results,
    Role,
    Sample,
    Selection,
    StoredFile,
    Thumbnail,
    Token,
    TokenRecord,
    Updates,
    User,
    Webhook,
    WebhookState,
    WorkerRecord,
    Workload,
    WorkloadSpec,
)
from dpip.remote.exchange import Exchange
from dpip.remote.messages import CALLS, Welcome, plain_arguments, valued

_TRUSTED_SECONDS = 10.0
"""How long a token, or a workload's directory, is believed. The controller says when tokens die, and commits
nothing into a workload that is gone; this is for what another process changes in the database."""
_REMEMBERED = 10_000

K = TypeVar("K")
V = TypeVar("V")


@define
class _Lately(Generic[K, V]):
    """Answers that need not be asked for again at once."""

    monotonic: Callable[[], float]
    _answers: OrderedDict[K, tuple[float, V]] = field(factory=OrderedDict, init=False)

    def get(self, name: K) -> V | None:
        known = self._answers.get(name)
        return known[1] if known is not None and self.monotonic() < known[0] + _TRUSTED_SECONDS else None

    def put(self, name: K, answer: V) -> V:
        self._answers[name] = self.monotonic(), answer
        if len(self._answers) > _REMEMBERED:
            self._answers.popitem(last=False)
        return answer

    def forget(self, *names: K) -> None:
        """These, or all."""
        for name in names or tuple(self._answers):
            self._answers.pop(name, None)


@implementer(IController)
class RemoteController:
    """Everything is asked over the link that :meth:`joined` gave; while there is none, everything raises
    RetryLater. Uploads are admitted here, at a desk that knows what the others have promised."""

    def __init__(self, desk: AdmissionDesk, monotonic: Callable[[], float]) -> None:
        self.max_pixels = 0
        self._desk = desk
        self._exchange: Exchange | None = None
        self._principals: _Lately[str, Principal] = _Lately(monotonic)
        self._workloads: _Lately[tuple[Principal, str], Workload] = _Lately(monotonic)
        self._jobs: _Lately[tuple[Principal, Lease], LeasedJob] = _Lately(monotonic)

    def joined(self, exchange: Exchange, welcome: Welcome) -> None:
        self._exchange = exchange
        self.max_pixels = welcome.max_pixels
        self._desk.max_upload, self._desk.max_in_flight = welcome.max_upload, welcome.max_in_flight
        self._desk.told = lambda promised: exchange.tell("promised", promised)
        exchange.tell("promised", self._desk.promised)  # uploads may be under way since an earlier link

    def left(self) -> None:
        """Nothing that was known can be trusted any more."""
        self._exchange = None
        self._principals.forget()
        self._workloads.forget()
        self._jobs.forget()

    def answer(self, name: str, arguments: list[Any]) -> None:
        """What the controller asks and tells."""
        if name == "forget_tokens":
            self._principals.forget()
        elif name == "elsewhere":
            [self._desk.elsewhere] = arguments

    def _ask(self, name: str, *arguments: Any) -> Deferred[Any]:
        if self._exchange is None:
            return fail(_no_controller())
        call = CALLS[name]
        asked = self._exchange.ask(name, *plain_arguments(call, arguments))
        return asked.addCallback(valued, call.result)

    # Accounts

    def login(self, name: str, password: str, address: str) -> Deferred[Token]:
        return self._ask("login", name, password, address)

    @deferred
    async def authenticate(self, secret: str) -> Principal:
        known = self._principals.get(secret)
        return known or self._principals.put(secret, await self._ask("authenticate", secret))

    def logout(self, secret: str) -> Deferred[None]:
        return self._ask("logout", secret)

    def users(self, by: Principal) -> Deferred[Sequence[User]]:
        return self._ask("users", by)

    def add_user(
        self, by: Principal, name: str, password: str, role: Role, quota: int | None
    ) -> Deferred[User]:
        return self._ask("add_user", by, name, password, role, quota)

    def remove_user(self, by: Principal, name: str) -> Deferred[None]:
        return self._ask("remove_user", by, name)

    def set_password(self, by: Principal, name: str, password: str) -> Deferred[None]:
        return self._ask("set_password", by, name, password)

    def tokens(self, by: Principal, user: str | None, limit: int) -> Deferred[Sequence[TokenRecord]]:
        return self._ask("tokens", by, user, limit)

    def add_token(
        self, by: Principal, user: str | None, name: str, seconds: float
    ) -> Deferred[tuple[TokenRecord, Token]]:
        return self._ask("add_token", by, user, name, seconds)

    def revoke_token(self, by: Principal, token_id: str) -> Deferred[TokenRecord]:
        return self._ask("revoke_token", by, token_id)

    # Workloads

    def create_workload(
        self, by: Principal, spec: WorkloadSpec, key: IdempotencyKey | None
    ) -> Deferred[Progress]:
        return self._ask("create_workload", by, spec, key)

    def workload(self, by: Principal, workload_id: str) -> Deferred[Progress]:
        return self._ask("workload", by, workload_id)

    def workloads(
        self, by: Principal, which: Selection = ALL, after: str | None = None, limit: int = 100
    ) -> Deferred[Sequence[Progress]]:
        return self._ask("workloads", by, which, after, limit)

    def why(self, by: Principal, workload_id: str) -> Deferred[Sequence[Reason]]:
        return self._ask("why", by, workload_id)

    def endings(self, by: Principal, workload_id: str) -> Deferred[Sequence[int]]:
        return self._ask("endings", by, workload_id)

    def results(self, by: Principal, workload_id: str, page: int) -> Deferred[Results]:
        return self._ask("results", by, workload_id, page)

    def cancel_workload(self, by: Principal, workload_id: str) -> Deferred[tuple[Progress, int]]:
        return self._ask("cancel_workload", by, workload_id)

    def retry_images(
        self, by: Principal, workload_id: str, image_ids: Sequence[str] | None
    ) -> Deferred[tuple[Progress, int]]:
        return self._ask("retry_images", by, workload_id, image_ids)

    def seal_workload(self, by: Principal, workload_id: str, webhook: Webhook | None) -> Deferred[Progress]:
        self._workloads.forget((by, workload_id))
        return self._ask("seal_workload", by, workload_id, webhook)

    def webhook(self, by: Principal, workload_id: str) -> Deferred[WebhookState]:
        return self._ask("webhook", by, workload_id)

    def delete_workload(self, by: Principal, workload_id: str) -> Deferred[None]:
        self._workloads.forget((by, workload_id))
        return self._ask("delete_workload", by, workload_id)

    def updates(
        self, by: Principal, workload_id: str | None, after: str | None, wait: bool
    ) -> Deferred[Updates]:
        return self._ask("updates", by, workload_id, after, wait)

    # Images

    def admit_upload(self, by: Principal, length: int | None) -> IAdmission:
        if self._exchange is None:
            raise _no_controller()
        return self._desk.admit(by, length)

    def check_quota(self, by: Principal, size: int, key: str | None) -> Deferred[None]:
        return self._ask("check_quota", by, size, key)

    @deferred
    async def check_upload(
        self, by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Workload:
        """Asked once for many uploads where no quota counts: whether each is taken, its commit decides."""
        known = self._workloads.get((by, workload_id))
        if known is not None and by.quota is None and known.owner == by.name:
            return known
        checked: Workload = await self._ask("check_upload", by, workload_id, sizes, key)
        return self._workloads.put((by, workload_id), checked)

    @deferred
    async def commit_originals(
        self,
        by: Principal,
        workload_id: str,
        files: Sequence[tuple[str, StoredFile]],
        key: IdempotencyKey | None,
    ) -> Sequence[Image]:
        try:
            images: Sequence[Image] = await self._ask("commit_originals", by, workload_id, files, key)
        except NotFound:
            self._workloads.forget((by, workload_id))
            raise
        return images

    @deferred
    async def held(self, by: Principal, image_id: str) -> LeasedJob:
        job: LeasedJob = await self._ask("held", by, image_id)
        return self._jobs.put((by, job.lease), job)

    @deferred
    async def check_lease(self, by: Principal, lease: Lease) -> LeasedJob:
        """Known from the download, if that was here and not long ago: whether the result counts, its commit
        decides."""
        return self._jobs.get((by, lease)) or await self._ask("check_lease", by, lease)

    def accuse(self, by: Principal, lease: Lease, what: str) -> Deferred[None]:
        self._jobs.forget((by, lease))
        return self._ask("accuse", by, lease, what)

    def commit_result(self, by: Principal, lease: Lease, file: StoredFile) -> Deferred[Image]:
        return self._ask("commit_result", by, lease, file)

    @deferred
    async def image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        if by.role is Role.WORKER:
            with suppress(NotFound):  # else it may have been lent, for a thumbnail
                return (await self.held(by, reference)).original
        image: Image = await self._ask("image", by, reference, workload_id, type)
        return image

    def thumbnail(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Deferred[Thumbnail]:
        return self._ask("thumbnail", by, reference, workload_id, type)

    def images(
        self, by: Principal, workload_id: str, type: ImageType, after: int | None, limit: int
    ) -> Deferred[Sequence[Image]]:
        return self._ask("images", by, workload_id, type, after, limit)

    # The system

    def workers(self, by: Principal) -> Deferred[Sequence[tuple[WorkerRecord, Load | None]]]:
        return self._ask("workers", by)

    def worker_history(self, by: Principal, name: str, since: float) -> Deferred[Sequence[Sample]]:
        return self._ask("worker_history", by, name, since)

    def drain_worker(self, by: Principal, name: str) -> Deferred[None]:
        return self._ask("drain_worker", by, name)

    def revoke_worker(self, by: Principal, name: str) -> Deferred[int]:
        return self._ask("revoke_worker", by, name)

    def join_token(self, by: Principal) -> Deferred[NewcomersToken]:
        return self._ask("join_token", by)

    def rotate_join_token(
        self, by: Principal, seconds: float | None, grace: float
    ) -> Deferred[NewcomersToken]:
        return self._ask("rotate_join_token", by, seconds, grace)

    def activity(
        self, by: Principal, before: int | None, limit: int
    ) -> Deferred[Sequence[tuple[int, Activity]]]:
        return self._ask("activity", by, before, limit)

    def metrics(self, by: Principal) -> Deferred[Sequence[Metric]]:
        return self._ask("metrics", by)

    def warnings(self) -> Deferred[Sequence[str]]:
        return self._ask("warnings")


def _no_controller() -> RetryLater:
    return RetryLater("The controller cannot be reached at the moment. Try again in a few seconds.", 2)

"""The controller as an API process sees it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from cachetools import TTLCache
from twisted.internet.defer import Deferred, fail
from zope.interface import implementer
from zope.interface.interface import InterfaceClass

from dpip.errors import NotFound, RetryLater
from dpip.interfaces import IAdmission, IController
from dpip.link.api_messages import (
    TRUSTED_SECONDS,
    ApiWelcome,
    RemoteMethod,
    calls_of,
    plain_arguments,
    valued,
)
from dpip.link.exchange import Exchange
from dpip.model import (
    IdempotencyKey,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Principal,
    Progress,
    Role,
    StoredFile,
    Webhook,
    Workload,
)
from dpip.runtime.coroutines import deferred
from dpip.runtime.sizes import memory_of
from dpip.store.admission import AdmissionControl

_REMEMBERED = 10_000
_CACHED_BYTES = 64 * 2**20  # of memory, for workloads

C = TypeVar("C", bound=type)


def forwarding(interface: InterfaceClass) -> Callable[[C], C]:
    """Return a decorator that gives a class the interface's missing methods: each asks the controller."""

    def filled(kind: C) -> C:
        kind.calls = calls_of(interface)  # type: ignore[attr-defined]
        for name, call in kind.calls.items():  # type: ignore[attr-defined]
            if not hasattr(kind, name):
                setattr(kind, name, _forwarder(call))
        return kind

    return filled


def _forwarder(call: RemoteMethod) -> Callable[..., Deferred[Any]]:
    def forward(self: RemoteController, *arguments: Any, **named: Any) -> Deferred[Any]:
        given = call.signature.bind(*arguments, **named)
        given.apply_defaults()
        return self._ask(call.name, *given.args)

    return forward


@implementer(IController)
@forwarding(IController)
class RemoteController:
    """The controller over the link that :meth:`joined` gave; without a link everything raises RetryLater.

    Uploads are admitted here, by a control that knows what the other processes have promised. Only the
    methods that do more than ask are written here.
    """

    calls: ClassVar[Mapping[str, RemoteMethod]]

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Callable[..., Deferred[Any]]:
            """Stands for the methods that are filled in."""

    def __init__(self, admission: AdmissionControl, monotonic: Callable[[], float]) -> None:
        self.max_pixels = 0
        self._admission = admission
        self._exchange: Exchange | None = None
        bounds = _REMEMBERED, TRUSTED_SECONDS, monotonic
        self._principals: TTLCache[str, Principal] = TTLCache(*bounds)
        self._workloads: TTLCache[tuple[Principal, str], Workload] = TTLCache(
            _CACHED_BYTES, *bounds[1:], getsizeof=lambda workload: min(memory_of(workload), _CACHED_BYTES)
        )
        self._jobs: TTLCache[tuple[Principal, Lease], LeasedJob] = TTLCache(*bounds)

    def joined(self, exchange: Exchange, welcome: ApiWelcome) -> None:
        self._exchange = exchange
        self.max_pixels = welcome.max_pixels
        self._admission.max_upload, self._admission.max_in_flight = welcome.max_upload, welcome.max_in_flight
        self._admission.announce = lambda promised: exchange.notify("promised", promised)
        exchange.notify(
            "promised", dict(self._admission.promised)
        )  # uploads of an earlier link may still run

    def left(self) -> None:
        """Forget everything, since nothing that was known can be trusted any more."""
        self._exchange = None
        self._principals.clear()
        self._workloads.clear()
        self._jobs.clear()

    def answer(self, name: str, arguments: list[Any]) -> None:
        """Take what the controller tells this process."""
        if name == "forget_tokens":
            [user] = arguments
            for secret in [secret for secret, by in self._principals.items() if by.name == user]:
                self._principals.pop(secret, None)
        elif name == "elsewhere":
            self._admission.told_of_others(*arguments)

    def _ask(self, name: str, *arguments: Any) -> Deferred[Any]:
        if self._exchange is None:
            return fail(_no_controller())
        call = self.calls[name]
        asked = self._exchange.ask(name, *plain_arguments(call, arguments))
        return asked.addCallback(valued, call.result)

    @deferred
    async def authenticate(self, secret: str) -> Principal:
        known = self._principals.get(secret)
        if known is None:
            known = self._principals[secret] = await self._ask("authenticate", secret)
        return known

    def seal_workload(self, by: Principal, workload_id: str, webhook: Webhook | None) -> Deferred[Progress]:
        self._workloads.pop((by, workload_id), None)
        return self._ask("seal_workload", by, workload_id, webhook)

    def delete_workload(self, by: Principal, workload_id: str) -> Deferred[None]:
        self._workloads.pop((by, workload_id), None)
        return self._ask("delete_workload", by, workload_id)

    def admit_upload(self, by: Principal, length: int | None, room: int | None = None) -> IAdmission:
        if self._exchange is None:
            raise _no_controller()
        return self._admission.admit(by, length, room)

    @deferred
    async def check_upload(
        self, by: Principal, workload_id: str, sizes: Sequence[int], key: str | None
    ) -> Workload:
        """Ask once for many uploads where no quota counts: the commit decides whether each is taken."""
        known = self._workloads.get((by, workload_id))
        if known is not None and by.quota is None and known.owner == by.name:
            return known
        checked: Workload = await self._ask("check_upload", by, workload_id, sizes, key)
        self._workloads[by, workload_id] = checked
        return checked

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
            self._workloads.pop((by, workload_id), None)
            raise
        return images

    @deferred
    async def held(self, by: Principal, image_ids: Sequence[str]) -> Sequence[LeasedJob | None]:
        jobs: Sequence[LeasedJob | None] = await self._ask("held", by, image_ids)
        for job in filter(None, jobs):
            self._jobs[by, job.lease] = job
        return jobs

    @deferred
    async def check_leases(self, by: Principal, leases: Sequence[Lease]) -> Sequence[LeasedJob | None]:
        """Return jobs as the download left them here a moment ago, or ask: the commit decides anyway."""
        known = [self._jobs.get((by, lease)) for lease in leases]
        unknown = [lease for lease, job in zip(leases, known, strict=True) if job is None]
        asked = iter(await self._ask("check_leases", by, unknown) if unknown else ())
        return [next(asked) if job is None else job for job in known]

    def accuse(self, by: Principal, lease: Lease, what: str) -> Deferred[None]:
        self._jobs.pop((by, lease), None)
        return self._ask("accuse", by, lease, what)

    @deferred
    async def image(
        self, by: Principal, reference: str, workload_id: str | None, type: ImageType | None
    ) -> Image:
        if by.role is Role.WORKER:
            [job] = await self.held(by, [reference])
            if job is not None:  # else it may have been lent, for a thumbnail
                return job.original
        image: Image = await self._ask("image", by, reference, workload_id, type)
        return image

    @deferred
    async def find_images(self, by: Principal, image_ids: Sequence[str]) -> Sequence[Image | None]:
        jobs = await self.held(by, image_ids) if by.role is Role.WORKER else [None] * len(image_ids)
        others = [image_id for image_id, job in zip(image_ids, jobs, strict=True) if job is None]
        asked = iter(await self._ask("find_images", by, others) if others else ())
        return [next(asked) if job is None else job.original for job in jobs]


def _no_controller() -> RetryLater:
    return RetryLater("The controller cannot be reached at the moment. Try again in a few seconds.", 2)

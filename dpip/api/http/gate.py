"""What a request's headers decide, before a byte of its body is read."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from attrs import define, field

from dpip.api.http.auth import Access, check_access, secret_of
from dpip.api.http.batches import ResultsBody
from dpip.api.http.bodies import Body, Held, SmallBody, UploadBody, too_large
from dpip.api.http.forms import check_type
from dpip.api.http.late_refusals import LateRefusals
from dpip.api.http.limits import HttpLimits
from dpip.api.http.multipart import boundary_of
from dpip.api.http.problems import UnsupportedBody
from dpip.errors import DpipError, Malformed, QuotaExceeded
from dpip.http.batch import CONTENT_TYPE, MAX_BODY
from dpip.interfaces import IController, IImageStore
from dpip.model import Principal, Role
from dpip.runtime.coroutines import deferred
from dpip.runtime.shares import Shares

if TYPE_CHECKING:  # a circle of types: a gate is asked by requests, and reads their headers
    from dpip.api.http.request import Request


@define
class Gate:
    """The gate lets only clients with a valid token make the server hold or store a body of any size, and
    each only as many as leave the others their share."""

    controller: IController
    image_store: IImageStore
    limits: HttpLimits
    access: Callable[[Request], Access | None]  # of the route that would answer, if there is one
    late: LateRefusals
    behind_proxy: bool
    _more_files: Shares = field(init=False)
    _bodies: Shares = field(init=False)
    _bytes: Shares = field(init=False)  # of small bodies

    def __attrs_post_init__(self) -> None:
        self._more_files = Shares(self.limits.more_files)
        self._bodies = Shares(self.limits.bodies)
        self._bytes = Shares(self.limits.small_bodies, lambda: self.limits.small_body)

    @deferred
    async def admit(self, request: Request, length: int | None) -> Body:
        """Return what takes the body; ``length`` is None for a chunked one. Raises DpipError."""
        if request.header("Content-Encoding") not in (None, "", "identity"):
            raise UnsupportedBody("Send the body without a Content-Encoding.")
        if is_public(request):
            return _small(self.limits.anonymous_body, length, request, None, None)
        secret = secret_of(request.header, is_encrypted(request, self.behind_proxy))
        request.principal = await self.controller.authenticate(secret)
        if is_upload(request):  # for every role
            return await self._upload(request, request.principal, length)
        if is_batch(request):
            return self._batch(request, request.principal, length)
        access = self.access(request)
        if access is not None and access is not Access.PUBLIC:
            check_access(access, request.principal)
        turn = self._turn_of(request.principal)
        room = Held(self._bytes, request.principal.counted_as, "bytes")
        return _small(self.limits.small_body, length, request, turn, room)

    def _turn_of(self, by: Principal) -> Held | None:
        """Return what takes one request of the user's share; workers, who are few, need none."""
        return None if by.role is Role.WORKER else Held(self._bodies, by.name, "requests")

    async def _upload(self, request: Request, by: Principal, length: int | None) -> UploadBody:
        boundary = boundary_of(request.header("Content-Type"))
        if boundary is None:
            raise not_multipart()
        room = await self._room_of(request, by, length)
        turn = self._turn_of(by)
        admission = self.controller.admit_upload(by, length, room)
        files = Held(self._more_files, by.name, "files")
        try:
            _begin(turn)
        except DpipError:
            admission.release()
            raise
        return UploadBody(admission, self.image_store, boundary, self.limits, files, turn)

    def _batch(self, request: Request, by: Principal, length: int | None) -> ResultsBody:
        check_access(Access.WORKERS, by)
        if request.header("Content-Type") != CONTENT_TYPE:
            raise not_a_batch()
        if length is None:
            raise Malformed("A batch needs a Content-Length.")
        if length > MAX_BODY:
            raise too_large(MAX_BODY)
        return ResultsBody(self.controller.admit_upload(by, length, None), self.image_store)

    async def _room_of(self, request: Request, by: Principal, length: int | None) -> int | None:
        """Return how many bytes the user's uploads under way may take. Raises QuotaExceeded."""
        if by.role is not Role.USER or by.quota is None:  # an admin's may go to workloads of others
            return None
        least = max(1, (length or 0) - self.limits.framing)
        try:
            left = await self.controller.check_quota(by, least, request.header("Idempotency-Key"))
        except QuotaExceeded:
            await self.late.turn(by.name)
            raise
        return None if left is None else left + self.limits.framing


def is_upload(request: Request) -> bool:
    return request.method == b"POST" and request.segments == (b"images",)


def is_batch(request: Request) -> bool:
    return request.method == b"POST" and request.segments == (b"images", b"batch")


def is_encrypted(request: Request, behind_proxy: bool) -> bool:
    """Say whether the request has come by TLS all the way; behind a proxy that is the proxy's task."""
    return behind_proxy or bool(request.isSecure())


def is_public(request: Request) -> bool:
    return request.segments in ((b"login",), (b"healthz",), (b"readyz",))


def not_multipart() -> UnsupportedBody:
    return UnsupportedBody(
        "Send pictures as multipart/form-data, for example: curl -F workload_id=… -F data=@a.png …/images"
    )


def not_a_batch() -> UnsupportedBody:
    return UnsupportedBody(f"Send results as {CONTENT_TYPE}.")


def _begin(turn: Held | None) -> None:
    """Raises RetryLater when the user has its share of requests under way."""
    if turn is not None:
        turn.take()


def _small(
    limit: int, length: int | None, request: Request, turn: Held | None, room: Held | None
) -> SmallBody:
    if length is not None:  # else there may be no body at all
        if length > limit:
            raise too_large(limit)
        check_type(request.header("Content-Type"))
    _begin(turn)
    return SmallBody(limit, turn, room)

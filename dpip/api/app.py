"""The API as one site: all routes in a Klein application, and the way of one request through it."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from typing import Any, TypeVar

from attrs import define, field
from klein import Klein
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from dpip.api.archive import ArchiveRoutes
from dpip.api.batches import BatchRoutes
from dpip.api.events import EventRoutes
from dpip.api.http import problems
from dpip.api.http.answers import Answer, cut_short, write_answer, write_head
from dpip.api.http.auth import Access, check_access, secret_of
from dpip.api.http.batches import ResultsBody
from dpip.api.http.bodies import Body, Held, SmallBody, UploadBody
from dpip.api.http.early_refusals import EarlyRefusals
from dpip.api.http.forms import Fields, read_fields
from dpip.api.http.gate import Gate, is_encrypted
from dpip.api.http.late_refusals import LIMITS, LateRefusals
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request
from dpip.api.http.request_meter import RequestMeter
from dpip.api.http.routes import ApiCall, Route
from dpip.api.http.site import Shortcut, Site
from dpip.api.http.streams import BodyWriter, Streamed
from dpip.api.images import ImageRoutes
from dpip.api.page import PageRoutes
from dpip.api.presets import PresetRoutes
from dpip.api.reference import ReferenceRoutes
from dpip.api.sessions import SessionRoutes
from dpip.api.specs import Registry, SpecReader
from dpip.api.system import SystemRoutes
from dpip.api.tokens import TokenRoutes
from dpip.api.uploads import UploadRoutes
from dpip.api.users import UserRoutes
from dpip.api.workers import WorkerRoutes
from dpip.api.workloads import WorkloadRoutes
from dpip.errors import DpipError, Malformed, NotFound, RetryLater
from dpip.interfaces import IController, IImageStore
from dpip.model import Principal, Role
from dpip.runtime.shares import Shares
from dpip.runtime.transports import PIECE

log = Logger()
T = TypeVar("T")
_NAMES = re.compile(r"<(?:\w+:)?(\w+)>")


def make_site(
    controller: IController,
    image_store: IImageStore,
    registry: Registry,
    ids: Callable[[], str],
    clock: IReactorTime,
    *,
    now: Callable[[], float] = time.time,
    limits: HttpLimits | None = None,
    behind_proxy: bool = False,
    quiet: bool = False,
    check_login: Callable[[str, str], None] | None = None,
) -> Site:
    """Make the API, ready to listen on an endpoint.

    :param registry: :mod:`dpip.filters.registry`, or anything of that shape.
    :param ids: gives ids for new images and for requests (:class:`dpip.runtime.ids.IdSource`).
    :param clock: for deadlines and durations; ``now`` gives seconds since the epoch.
    :param behind_proxy: a client's address is the last one in X-Forwarded-For, which our own proxy has added.
    :param quiet: no line in the log for requests that only read or bring a picture, unless they fail.
    :param check_login: raises DpipError for a user and an address that may not log in at the moment, so that
        guesses are refused early; behind a proxy all come from one address, and it is not asked.
    """
    limits = limits or HttpLimits()
    routes = all_routes(controller, image_store, registry, ids, clock, now)
    late = LateRefusals(clock)
    meter = RequestMeter(controller.requests_served, clock)
    server = Server(controller, clock, limits, behind_proxy, late, meter)
    app, way = klein_app(server, routes), shortcut(server, routes)
    gate = Gate(controller, image_store, limits, access_by(app, routes), late, behind_proxy)
    early = None if check_login is None or behind_proxy else EarlyRefusals(check_login)
    return Site(app.resource(), gate, ids, clock, limits, way, quiet, early)


def all_routes(
    controller: IController,
    image_store: IImageStore,
    registry: Registry,
    ids: Callable[[], str],
    clock: IReactorTime,
    now: Callable[[], float],
) -> list[Route]:
    specs = SpecReader(controller, registry, now)
    routes = [
        *SessionRoutes(controller).routes(),
        *WorkloadRoutes(controller, specs, clock).routes(),
        *PresetRoutes(controller, specs).routes(),
        *ImageRoutes(controller, image_store).routes(),
        *BatchRoutes(controller, image_store).routes(),
        *UploadRoutes(controller, image_store, ids).routes(),
        *UserRoutes(controller).routes(),
        *TokenRoutes(controller).routes(),
        *SystemRoutes(controller, registry, clock, now).routes(),
        *WorkerRoutes(controller, now).routes(),
        *ArchiveRoutes(controller, image_store).routes(),
        *EventRoutes(controller, now).routes(),
        *PageRoutes().routes(),
    ]
    return [*routes, *ReferenceRoutes(routes).routes()]


@define
class Server:
    """The server authenticates a request, calls the handler of its route and writes the answer."""

    controller: IController
    clock: IReactorTime
    limits: HttpLimits
    behind_proxy: bool
    late: LateRefusals
    meter: RequestMeter
    _unread: Shares = field(init=False)  # bytes of large answers

    def __attrs_post_init__(self) -> None:
        limits = self.limits
        self._unread = Shares(limits.large_answers, lambda: limits.large_answers_each)

    async def serve(self, request: Request, route: Route, arguments: dict[str, str]) -> None:
        """Answer the request.

        The work goes on when the client leaves, since Klein cancels only the wait. So an upload is wholly
        there or not at all, whenever the connection broke.
        """
        answer = await shielded(self._measured(request, request.take_body(), route, arguments))
        if not isinstance(answer, Answer):
            await answer.send(request, self.clock, self.limits)
            return
        made = answer.headers.get("Location", answer.made)
        request.made = f" made {made}" if made else ""
        if len(answer.body) > self.limits.large_answer:
            await self._write_large(request, answer)
        else:
            write_answer(request, answer, request.id)

    async def _measured(
        self, request: Request, body: Body | None, route: Route, arguments: dict[str, str]
    ) -> Answer | Streamed:
        began, status = self.clock.seconds(), 500
        try:
            answer = await self._work(request, body, route, arguments)
            status = answer.status if isinstance(answer, Answer) else 200
            return answer
        except DpipError as error:
            status = problems.status_of(error)
            raise
        finally:
            self.meter.observe(route.method, _label(route.path), status, self.clock.seconds() - began)

    async def _work(
        self, request: Request, body: Body | None, route: Route, arguments: dict[str, str]
    ) -> Answer | Streamed:
        try:
            await self._authenticate(request, route)
            return await route.handler(self._call(request, route, body), **arguments)
        except DpipError as error:
            if not (isinstance(error, LIMITS) or _is_surplus(request.principal, error)):
                raise
            if body is not None:
                body.close()  # it holds nothing while it waits
            await self.late.turn(request.principal.counted_as if request.principal is not None else "")
            raise
        finally:
            if body is not None:
                body.close()

    async def _write_large(self, request: Request, answer: Answer) -> None:
        """Write a long answer as fast as its client reads. Raises RetryLater when too much is not read."""
        who, size = request.principal, len(answer.body)
        held = Held(self._unread, "" if who is None else who.counted_as, "answers")
        held.take(size)
        try:
            write_head(request, answer.status, {**answer.headers, "Content-Length": str(size)}, request.id)
            if request.method != b"HEAD":
                with BodyWriter(request, self.clock, self.limits.stall_seconds) as out:
                    for start in range(0, size, PIECE):
                        await out.write(answer.body[start : start + PIECE])
        finally:
            held.give_back()

    async def _authenticate(self, request: Request, route: Route) -> None:
        """Asks again where the headers were asked already: the body may have taken an hour since."""
        if route.access is Access.PUBLIC:
            return
        secret = secret_of(request.header, is_encrypted(request, self.behind_proxy), route.by_link)
        request.principal = await self.controller.authenticate(secret)
        check_access(route.access, request.principal)

    def _call(self, request: Request, route: Route, body: Body | None) -> ApiCall:
        data = bytes(body.data) if isinstance(body, SmallBody) else b""
        fields = read_fields(request.query, data, request.header("Content-Type"), self.limits)
        upload = body if isinstance(body, UploadBody) else None
        if upload is not None:
            fields = Fields({**fields.values, **upload.fields()})
        encrypted = is_encrypted(request, self.behind_proxy)
        return ApiCall(
            request.id,
            request.principal,
            self._address(request),
            request.header,
            fields,
            upload,
            body if isinstance(body, ResultsBody) else None,
            lambda: self.controller.authenticate(secret_of(request.header, encrypted, route.by_link)),
            encrypted=encrypted,
        )

    def _address(self, request: Request) -> str:
        forwarded = request.header("X-Forwarded-For") if self.behind_proxy else None
        if forwarded:
            return forwarded.rpartition(",")[2].strip()[:64]
        return str(getattr(request.getClientAddress(), "host", "-"))


@cache
def _label(path: str) -> str:
    """Return ``/workers/<path:name>`` as ``/workers/{name}``."""
    return _NAMES.sub(r"{\1}", path)


def _is_surplus(who: Principal | None, error: DpipError) -> bool:
    """Say whether a worker asked for what it does not hold: it can do so as fast as it is answered."""
    return who is not None and who.role is Role.WORKER and not isinstance(error, RetryLater)


def klein_app(server: Server, routes: Sequence[Route]) -> Klein:
    app = Klein()
    # Else werkzeug answers /images//x with a redirect: here it is a 404 like any other wrong path.
    app.url_map.merge_slashes = False
    for route in routes:
        app.route(route.path, methods=[route.method], endpoint=_endpoint(route))(
            _klein_handler(server, route)
        )
    app.handle_errors(Exception)(_explain)  # type: ignore[arg-type]  # Klein asks for an IRequest
    return app


def _klein_handler(server: Server, route: Route) -> Callable[..., Coroutine[Any, Any, None]]:
    return lambda request, **arguments: server.serve(request, route, arguments)


def access_by(app: Klein, routes: Sequence[Route]) -> Callable[[Request], Access | None]:
    """Return what says whom a request's route is for, by path and method; None where there is no route."""
    known = {_endpoint(route): route.access for route in routes}
    paths = app.url_map.bind("localhost")

    def access(request: Request) -> Access | None:
        path = "/" + "/".join(part.decode() for part in request.segments)
        try:
            endpoint, _ = paths.match(path, method=request.method.decode("latin-1"))
        except HTTPException:
            return None
        return known[endpoint]

    return access


def _endpoint(route: Route) -> str:
    return f"{route.method} {route.path}"


def shortcut(server: Server, routes: Sequence[Route]) -> Shortcut:
    """Return what answers the most frequent requests without Klein: pictures, polls of a workload, logins.

    Klein's map of URLs takes longer to ask than the rest of their way. These routes are rows of the same
    table, and are answered as Klein would have them answered.
    """
    known = {(route.method, route.path): route for route in routes}
    upload, show = known["POST", "/images"], known["GET", "/images/<reference>"]
    batches = {b"GET": known["GET", "/images/batch"], b"POST": known["POST", "/images/batch"]}
    poll, login = known["GET", "/workloads/<workload_id>"], known["POST", "/login"]

    def answer(request: Request) -> bool:
        arguments = {}
        match request.method, request.segments:
            case b"POST", (b"images",):
                route = upload
            case b"GET" | b"POST", (b"images", b"batch"):
                route = batches[request.method]
            case b"GET", (b"images", reference) if reference:
                route, arguments = show, {"reference": reference.decode()}
            case b"GET", (b"workloads", workload_id) if workload_id:
                route, arguments = poll, {"workload_id": workload_id.decode()}
            case b"POST", (b"login",):
                route = login
            case _:
                return False
        served = Deferred.fromCoroutine(server.serve(request, route, arguments))
        request.notifyFinish().addErrback(lambda _: served.cancel())
        served.addErrback(lambda failure: _explain(request, failure))
        served.addCallback(lambda _: _finish(request))
        return True

    return answer


def _finish(request: Request) -> None:
    if request.channel is not None:  # else its client has left
        request.finish()


def shielded(work: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Return a Deferred that fires as the work does; cancelling it leaves the work alone."""
    waiting: Deferred[T] = Deferred()

    def done(result: Any) -> None:
        if waiting.called and isinstance(result, Failure) and not result.check(DpipError):
            log.failure("Work failed after its client had left", result)
        waiting.callback(result)

    Deferred.fromCoroutine(work).addBoth(done)
    return waiting


def _explain(request: Request, failure: Failure) -> None:
    """Answer with a problem document, whatever went wrong."""
    if failure.check(CancelledError):
        return
    error = failure.value
    if isinstance(error, MethodNotAllowed):
        _other_method(request, set(error.valid_methods or ()) | {"OPTIONS"})
        return
    if isinstance(error, HTTPException):
        error = _routing_error(error, request)
    if not isinstance(error, DpipError):
        error = request.explained(failure)
    if request.startedWriting:  # the answer is on its way: it can only be cut short
        cut_short(request)
        return
    write_answer(request, problems.problem(error, request.id), request.id)


def _other_method(request: Request, allowed: set[str]) -> None:
    if request.method == b"OPTIONS":
        write_answer(request, Answer(b"", 204, {"Allow": ", ".join(sorted(allowed))}), request.id)
        return
    error = problems.MethodNotAllowed(f"This path takes {', '.join(sorted(allowed))}.", allowed)
    write_answer(request, problems.problem(error, request.id), request.id)


def _routing_error(error: HTTPException, request: Request) -> DpipError:
    if error.code == 404:
        return NotFound(f"There is nothing at {request.facts()['path']}.")
    return Malformed(f"The request could not be routed: {error.name}.")

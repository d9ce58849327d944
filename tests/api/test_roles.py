"""Every route × who asks × whose it is × the kind and state of the token: made from the route table.

A route without a rule fails here, and so does one whose access is not its rule's.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from enum import Enum, auto
from typing import Any, Final

from attrs import field, frozen

from dpip.api.http.auth import Access
from dpip.api.http.routes import Route
from dpip.model import ImageType, LeasedJob, Principal, Role, Webhook
from tests.api.client import Form, Response, request_bytes
from tests.api.fixture import ApiTest, picture, result_form

YEAR: Final = 365 * 24 * 3600.0
DAY: Final = 24 * 3600.0


class Whose(Enum):
    """What a route's path, query or body names, and how it looks to another user."""

    NOBODYS = auto()
    PRIVATE = auto()  # as if it were not there
    NAMED = auto()  # users' names are no secret: 403


@frozen
class Rule:
    """``status`` is what an owner and an admin get. ``query`` and ``fields`` may hold ``{workload_id}``."""

    access: Access
    whose: Whose = Whose.NOBODYS
    status: int = 200
    query: str = ""
    fields: dict[str, Any] = field(factory=dict)
    workers_get: int = 404  # where workers are let in: one that holds no lease of it


_PRIVATE, _NAMED = Whose.PRIVATE, Whose.NAMED
RULES: Final[dict[tuple[str, str], Rule]] = {
    ("POST", "/login"): Rule(Access.PUBLIC, status=401),  # it takes a password, not a token
    ("DELETE", "/logout"): Rule(Access.USERS),
    ("GET", "/status"): Rule(Access.USERS),
    ("POST", "/workloads"): Rule(Access.USERS, status=201, fields={"filter": "grayscale"}),
    ("GET", "/workloads"): Rule(Access.USERS),
    ("GET", "/workloads/<workload_id>"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/workloads/<workload_id>/places"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/workloads/<workload_id>/why"): Rule(Access.USERS, _PRIVATE),
    ("POST", "/workloads/<workload_id>/seal"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/workloads/<workload_id>/webhook"): Rule(Access.USERS, _PRIVATE),
    ("POST", "/workloads/<workload_id>/cancel"): Rule(Access.USERS, _PRIVATE),
    ("POST", "/workloads/<workload_id>/retry"): Rule(Access.USERS, _PRIVATE),
    ("DELETE", "/workloads/<workload_id>"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/workloads/<workload_id>/archive"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/workloads/<workload_id>/events"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/events"): Rule(Access.USERS),
    ("GET", "/presets"): Rule(Access.USERS),
    ("GET", "/presets/<path:name>"): Rule(Access.USERS, status=404),  # each has its own, and there is none
    ("PUT", "/presets/<path:name>"): Rule(Access.USERS, status=201, fields={"filter": "blur", "force": True}),
    ("DELETE", "/presets/<path:name>"): Rule(Access.USERS, status=404),
    ("GET", "/images"): Rule(Access.USERS, _PRIVATE, query="?workload_id={workload_id}&type=original"),
    ("GET", "/images/batch"): Rule(Access.ANY, query="?ids=never-was", workers_get=200),
    ("POST", "/images/batch"): Rule(Access.WORKERS, status=415, workers_get=415),  # without a body
    ("GET", "/images/<reference>"): Rule(Access.ANY, _PRIVATE),
    ("GET", "/images/<reference>/thumbnail"): Rule(Access.USERS, _PRIVATE, 503),  # no worker makes it
    ("POST", "/images"): Rule(Access.ANY, _PRIVATE, 201, workers_get=409),
    ("GET", "/users"): Rule(Access.ADMINS),
    ("POST", "/users"): Rule(Access.ADMINS, status=422, fields={"user": "new"}),
    ("DELETE", "/users/<path:name>"): Rule(Access.ADMINS),
    ("PUT", "/users/<path:name>/password"): Rule(
        Access.USERS, _NAMED, fields={"password": "password-of-ann", "old_password": "password-of-ann"}
    ),
    ("GET", "/tokens"): Rule(Access.USERS, _NAMED, query="?user=ann"),
    ("POST", "/tokens"): Rule(Access.USERS, _NAMED, 201, fields={"name": "n", "user": "ann"}),
    ("DELETE", "/tokens/<token_id>"): Rule(Access.USERS, _PRIVATE),
    ("GET", "/filters"): Rule(Access.ANY, workers_get=200),
    ("GET", "/output"): Rule(Access.ANY, workers_get=200),
    ("GET", "/first-login"): Rule(Access.PUBLIC),
    ("GET", "/workers"): Rule(Access.ADMINS),
    ("GET", "/workers/<path:name>/jobs"): Rule(Access.ADMINS),
    ("DELETE", "/workers/<path:name>"): Rule(Access.ADMINS, status=404),
    ("GET", "/workers/<path:name>/history"): Rule(Access.ADMINS),
    ("POST", "/workers/<path:name>/drain"): Rule(Access.ADMINS, status=404),  # there is none
    ("POST", "/workers/<path:name>/resume"): Rule(Access.ADMINS, status=409),
    ("POST", "/workers/<path:name>/revoke"): Rule(Access.ADMINS, status=404),
    ("GET", "/join-token"): Rule(Access.ADMINS),
    ("POST", "/join-token"): Rule(Access.ADMINS, status=201),
    ("GET", "/activity"): Rule(Access.ADMINS),
    ("GET", "/metrics"): Rule(Access.ADMINS),
    ("GET", "/healthz"): Rule(Access.PUBLIC),
    ("GET", "/readyz"): Rule(Access.PUBLIC),
    ("GET", "/"): Rule(Access.PUBLIC),
    ("GET", "/page/<version>/<name>"): Rule(Access.PUBLIC, status=404),
    ("GET", "/openapi.json"): Rule(Access.PUBLIC),
    ("GET", "/docs"): Rule(Access.PUBLIC),
}


class Caller(Enum):
    NOBODY = auto()  # no token
    FORGER = auto()  # one that never was
    OWNER = auto()
    STRANGER = auto()  # another user
    ADMIN = auto()
    HOLDER = auto()  # the worker with the lease
    WORKER = auto()  # another one


USERS: Final = {Caller.OWNER: "ann", Caller.STRANGER: "bob", Caller.ADMIN: "admin"}
WORKERS: Final = (Caller.HOLDER, Caller.WORKER)


class Kind(Enum):
    """How a token was got."""

    LOGIN = auto()
    NAMED = auto()  # for programs
    LINK = auto()  # a worker has joined


class End(Enum):
    EXPIRED = auto()
    LOGGED_OUT = auto()
    REVOKED = auto()
    PASSWORD_CHANGED = auto()
    USER_REMOVED = auto()


@frozen
class Things:
    """Of the owner's: what the route names."""

    route: Route
    workload_id: str
    reference: str
    token_id: str
    job: LeasedJob
    name: str

    def path(self, rule: Rule, missing: bool = False) -> str:
        """``missing``: of things that never were."""
        path = self.route.path + rule.query
        for name in ("workload_id", "reference", "token_id"):
            thing = "never-was" if missing else getattr(self, name)
            path = path.replace(f"<{name}>", thing).replace(f"{{{name}}}", thing)
        named = "ann" if rule.whose is Whose.NAMED else self.name
        return path.replace("<path:name>", named).replace("<version>", "x").replace("<name>", "x")


class RolesTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.new_user("bob")
        self._things: Things | None = None
        self._tokens: dict[tuple[Caller, Kind | None], str] = {}

    def rows(self) -> Iterator[tuple[Route, Rule]]:
        for route in self.rows_of_the_api():
            yield route, RULES[route.method, route.path]

    def test_each_route_has_its_rule(self) -> None:
        self.assertEqual(
            {(route.method, route.path): route.access for route in self.rows_of_the_api()},
            {row: rule.access for row, rule in RULES.items()},
        )

    async def test_who_may_do_what_with_whose(self) -> None:
        for route, rule in self.rows():
            for caller, kind in _tokens():
                with self.subTest(route=f"{route.method} {route.path}", caller=caller, kind=kind):
                    things, token = self.things(route), self.token(caller, kind)
                    response = await self.ask(rule, things, caller, token)
                    if route.method != "GET" and response.status < 400:
                        self.renew()
                    self.assert_right(response, rule, caller)
                    if rule.whose is Whose.PRIVATE and response.status == 404:
                        await self.assert_like_missing(response, rule, things, caller, token)

    async def test_a_dead_token_opens_nothing(self) -> None:
        """Whosever it was, and however it died."""
        ways = itertools.product((Role.USER, Role.ADMIN), (Kind.LOGIN, Kind.NAMED), End)
        dead = [self.released(), *[await self.dead_token(*way) for way in ways]]
        self.now += YEAR
        connection = await self.connect()
        for route, rule in self.rows():
            path = self.things(route).path(rule)
            for end, token in dead:
                with self.subTest(route=f"{route.method} {route.path}", end=end):
                    connection.send(request_bytes(route.method, path, {"Authorization": f"Bearer {token}"}))
                    response = await connection.response()
                    if rule.access is Access.PUBLIC:
                        self.assertEqual(response.status, rule.status)
                    else:
                        self.assert_problem(response, 401, "not-logged-in")

    async def test_a_token_that_dies_while_the_body_comes_does_nothing_any_more(self) -> None:
        """Whoever it was at the headers: a removed admin must not make another one an hour later."""
        changing = [(route, rule) for route, rule in self.rows() if route.method != "GET"]
        for (route, rule), end in itertools.product(changing, End):
            if rule.access in (Access.PUBLIC, Access.WORKERS):
                continue
            with self.subTest(route=f"{route.method} {route.path}", end=end):
                now, things = self.now, self.new_things(route)
                name, token = self.living_token(Role.ADMIN, Kind.LOGIN, end)
                body, content_type = self.body_for(rule, things)
                headers = {
                    "Authorization": f"Bearer {token}",
                    "Content-Type": content_type,
                    "Content-Length": str(len(body)),
                }
                connection = await self.connect()
                connection.send(request_bytes(route.method, things.path(rule), headers))
                connection.send(body[:-1])
                await self.until_authenticated()
                await self.end_token(name, token, end)
                connection.send(body[-1:])
                self.assert_problem(await connection.response(), 401, "not-logged-in")
                self.now = now
        self.assert_nothing_left()

    async def until_authenticated(self) -> None:
        """The server knows from the headers of the newest request who is asking."""
        while not any(request.principal for request in self.channels[-1].requests):
            await self.turn()

    def body_for(self, rule: Rule, things: Things) -> tuple[bytes, str]:
        """A body that the route takes, and its type."""
        if (things.route.method, things.route.path) == ("POST", "/images"):
            form = self.upload_form(things.workload_id)
            return form.body, form.content_type
        return json.dumps(rule.fields).encode(), "application/json"

    # What is expected

    def assert_right(self, response: Response, rule: Rule, caller: Caller) -> None:
        role = _role(caller)
        if rule.access is Access.PUBLIC:
            self.assertEqual(response.status, rule.status)
            self.assertNotIn(b"not-logged-in", response.body)
        elif role is None:
            self.assert_problem(response, 401, "not-logged-in")
        elif role not in {one.value for one in rule.access.value}:
            self.assert_problem(response, 403, "forbidden")
        elif caller is Caller.WORKER:
            self.assertEqual(response.status, rule.workers_get, response.body)
        elif caller is Caller.STRANGER and rule.whose is not Whose.NOBODYS:
            self.assertEqual(response.status, 404 if rule.whose is Whose.PRIVATE else 403, response.body)
        else:
            self.assertEqual(response.status, rule.status, response.body)

    async def assert_like_missing(
        self, response: Response, rule: Rule, things: Things, caller: Caller, token: str | None
    ) -> None:
        """Nobody learns that there is such a thing."""
        missing = await self.ask(rule, things, caller, token, missing=True)
        told, untold = response.json(), missing.json()
        for name in (things.workload_id, things.reference, things.token_id):
            told["detail"] = told["detail"].replace(name, "never-was")
        told["request_id"] = untold["request_id"]
        self.assertEqual(told, untold)

    # What is asked

    async def ask(
        self, rule: Rule, things: Things, caller: Caller, token: str | None, missing: bool = False
    ) -> Response:
        route, path = things.route, things.path(rule, missing)
        if (route.method, route.path) == ("POST", "/images"):
            workload_id = "never-was" if missing else things.workload_id
            form = self.upload_form(workload_id)
            if caller in WORKERS:
                form = result_form(things.job.lease, picture(shade=9))
            return await self.upload_as(token, form)
        if not rule.fields:
            return await self.request(route.method, path, token)
        return await self.send_json(route.method, path, token, rule.fields)  # type: ignore[arg-type]

    async def upload_as(self, token: str | None, form: Form) -> Response:
        headers = {"Content-Type": form.content_type}
        return await self.request("POST", "/images", token, form.body, headers)

    def things(self, route: Route) -> Things:
        """New ones for each route, and where what was asked may have used them up."""
        if self._things is None or self._things.route is not route:
            self.renew()
            self._things = self.new_things(route)
        return self._things

    def renew(self) -> None:
        """Things and tokens."""
        self._things = None
        self._tokens.clear()
        self.user = self.token_of("ann", "password-of-ann")
        self.admin = self.token_of("admin", "password")

    def new_things(self, route: Route) -> Things:
        name = self.ids()
        if route.path == "/users/<path:name>":
            self.new_user(name)
        by = self.known(self.user)
        workload_id = self.stored_workload(picture())
        if route.path.endswith("/webhook"):
            hook = Webhook("https://allowed.example/hook", "a secret of some length")
            self.successResultOf(self.controller.seal_workload(by, workload_id, hook))
        originals = self.controller.images(by, workload_id, ImageType.ORIGINAL, None, 1)
        [original] = self.successResultOf(originals)
        record, _ = self.successResultOf(self.controller.add_token(by, None, "n", DAY))
        return Things(route, workload_id, original.id, record.id, self.leased(workload_id), name)

    def leased(self, workload_id: str) -> LeasedJob:
        self.holder, self.worker = self.controller.join_worker("holder"), self.controller.join_worker("w")
        while (job := self.controller.lease("holder")) is not None and job.workload_id != workload_id:
            pass  # of an earlier row
        assert job is not None
        return job  # type: ignore[no-any-return]

    # Tokens

    def token(self, caller: Caller, kind: Kind | None) -> str | None:
        """A valid one, where it is to be one."""
        if caller in USERS:
            if (caller, kind) not in self._tokens:
                self._tokens[caller, kind] = self.new_token(USERS[caller], kind)
            return self._tokens[caller, kind]
        return {Caller.FORGER: "forged", Caller.HOLDER: self.holder, Caller.WORKER: self.worker}.get(caller)

    def new_token(self, name: str, kind: Kind | None) -> str:
        token = self.token_of(name, "password" if name == "admin" else f"password-of-{name}")
        if kind is Kind.LOGIN:
            return token
        _, made = self.successResultOf(self.controller.add_token(self.known(token), None, "program", DAY))
        return str(made.secret)

    async def dead_token(self, role: Role, kind: Kind, end: End) -> tuple[str, str]:
        """What it died of, and the token."""
        name, token = self.living_token(role, kind, end)
        await self.end_token(name, token, end)
        return name, token

    def living_token(self, role: Role, kind: Kind, end: End) -> tuple[str, str]:
        """A new user's name, and a token of it, which is to die of that."""
        name = f"{role}-{kind.name}-{end.name}-{self.ids()}"
        admin = self.known(self.token_of("admin", "password"))
        self.successResultOf(self.controller.add_user(admin, name, f"password-of-{name}", role, None))
        return name, self.new_token(name, kind)

    async def end_token(self, name: str, token: str, end: End) -> None:
        controller, admin = self.controller, self.known(self.token_of("admin", "password"))
        by = self.known(token)
        if end is End.EXPIRED:
            self.now += YEAR
        elif end is End.LOGGED_OUT:
            await controller.logout(token)
        elif end is End.REVOKED:
            for record in await controller.tokens(by, name, 10):
                await controller.revoke_token(by, record.id)
        elif end is End.PASSWORD_CHANGED:
            await controller.set_password(by, name, "another password", f"password-of-{name}")
        elif end is End.USER_REMOVED:
            await controller.remove_user(admin, name)

    def released(self) -> tuple[str, str]:
        """Of a worker whose link has ended."""
        token = self.controller.join_worker("gone")
        self.known(token)
        self.controller.release_worker("gone")
        return "worker-LINK-RELEASED", token

    def known(self, token: str) -> Principal:
        by: Principal = self.successResultOf(self.controller.authenticate(token))
        return by


def _tokens() -> Iterator[tuple[Caller, Kind | None]]:
    for caller in Caller:
        if caller in USERS:
            yield from ((caller, kind) for kind in (Kind.LOGIN, Kind.NAMED))
        else:
            yield caller, Kind.LINK if caller in WORKERS else None


def _role(caller: Caller) -> str | None:
    if caller in WORKERS:
        return "worker"
    return {Caller.OWNER: "user", Caller.STRANGER: "user", Caller.ADMIN: "admin"}.get(caller)

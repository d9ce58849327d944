"""The API on a loopback socket, with a controller behind it: the one place where tests choose which."""

from __future__ import annotations

import hashlib
import json
import os
from base64 import b64encode
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from random import Random
from typing import Any
from urllib.parse import urlencode

from PIL import Image as Pillow
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from werkzeug.routing import Rule

from dpip.api.app import all_routes, make_site
from dpip.api.http.limits import HttpLimits
from dpip.api.http.routes import Route
from dpip.filters import registry
from dpip.model import ImageType, Role, WorkloadSpec
from dpip.runtime.ids import IdSource
from dpip.testing import Hold, MemoryController, inline_image_store
from tests.api.client import Connection, Form, Response, connect, request_bytes
from tests.api.documented import mistakes, the_document

NOW = 1_800_000_000.0


def picture(width: int = 4, height: int = 3, format: str = "PNG", shade: int = 0) -> bytes:
    """A small picture; another ``shade`` gives other bytes."""
    file = BytesIO()
    Pillow.new("RGB", (width, height), (shade, 100, 200)).save(file, format)
    return file.getvalue()


def _no_urls(rule: Rule, append_unknown: bool = True) -> Callable[..., tuple[str, str]]:
    """Stands in for Werkzeug's compiler of what builds URLs from endpoints.

    Nothing builds any, and compiling takes longer than all else that a test of the API needs.
    """

    def build(*_: object, **__: object) -> tuple[str, str]:
        raise AssertionError(f"a URL is built of {rule}")

    return build


class ApiTest(TestCase):
    """``self.clock`` is of the deadlines and stands still; ``self.admin`` and ``self.user`` are tokens."""

    limits = HttpLimits()
    behind_proxy = False

    def setUp(self) -> None:
        self.clock = Clock()
        self.now = NOW
        self.ids = IdSource(clock=lambda: self.now)
        self.root = os.path.realpath(self.mktemp())
        os.makedirs(self.root)
        self.make_backend()
        self.patch(Rule, "_compile_builder", _no_urls)
        self.site = make_site(
            self.served(),
            self.store,
            registry,
            self.ids,
            self.clock,
            now=lambda: self.now,
            limits=self.limits,
            behind_proxy=self.behind_proxy,
        )
        self._serve()
        self.admin = self.token_of("admin", "password")
        self.new_user("ann")
        self.user = self.token_of("ann", "password-of-ann")

    def make_backend(self) -> None:
        """``self.controller`` and ``self.store``; :mod:`tests.api.real` has others."""
        self.store: Any = inline_image_store(Path(self.root))
        self.controller: Any = MemoryController(lambda: self.now, self.ids, self.store, self.clock)
        self.addCleanup(self.controller.feed.stop)

    def served(self) -> Any:
        """The controller as the API has it."""
        return self.controller

    def uploads_under_way(self) -> int:
        return len(self.controller.admitted)

    def calls(self, method: str) -> list[list[Any]]:
        """What was asked of this method of the controller."""
        return [facts for name, *facts in self.controller.log if name == method]

    def stored_files(self) -> list[str]:
        """Paths of every file of the image store, those on their way in too."""
        return [os.path.join(folder, name) for folder, _, names in os.walk(self.root) for name in names]

    # Users and workers, without going through the API

    def token_of(self, name: str, password: str) -> str:
        return self.successResultOf(self.controller.login(name, password, "-")).secret

    def new_user(self, name: str, quota: int | None = None) -> None:
        admin = self.successResultOf(self.controller.authenticate(self.admin))
        self.successResultOf(self.controller.add_user(admin, name, f"password-of-{name}", Role.USER, quota))

    async def reached(self, hold: Hold) -> None:
        """Somebody waits there, and whoever called has returned to the reactor."""
        await hold.reached
        await self.turn()

    async def turn(self) -> None:
        """One turn of the reactor."""
        await deferLater(reactor, 0)

    # Requests

    async def connect(self) -> Connection:
        connection = await connect(self.port)
        self.addCleanup(connection.drop)
        return connection

    async def request(
        self,
        method: str,
        path: str,
        token: str | None = None,
        body: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> Response:
        """One request on a connection of its own."""
        named = {"Connection": "close", **(headers or {})}
        if token is not None:
            named["Authorization"] = f"Bearer {token}"
        connection = await self.connect()
        connection.send(request_bytes(method, path, named, body))
        response = await connection.response(head_only=method == "HEAD")
        connection.transport.loseConnection()
        await connection.closed
        self.assertEqual(mistakes(the_document(), method, path, response), [], (method, path))
        return response

    def rows_of_the_api(self) -> list[Route]:
        """The route table."""
        return all_routes(self.controller, self.store, registry, self.ids, self.clock, lambda: self.now)

    def get(self, path: str, token: str | None = None, **headers: str) -> Any:
        return self.request("GET", path, token, headers=_dashed(headers))

    def send_json(self, method: str, path: str, token: str, value: Any, **headers: str) -> Any:
        named = {"Content-Type": "application/json", **_dashed(headers)}
        return self.request(method, path, token, json.dumps(value).encode(), named)

    def send_form(self, method: str, path: str, token: str, fields: Any, **headers: str) -> Any:
        named = {"Content-Type": "application/x-www-form-urlencoded", **_dashed(headers)}
        return self.request(method, path, token, urlencode(fields, doseq=True).encode(), named)

    def send_multipart(self, method: str, path: str, token: str, form: Form, **headers: str) -> Any:
        named = {"Content-Type": form.content_type, **_dashed(headers)}
        return self.request(method, path, token, form.body, named)

    async def new_workload(self, token: str | None = None, **fields: Any) -> str:
        fields.setdefault("filter", "grayscale")
        response = await self.send_json("POST", "/workloads", token or self.user, fields)
        self.assertEqual(response.status, 201, response.body)
        return str(response.json()["workload_id"])

    async def upload(
        self, workload_id: str, data: bytes | None = None, name: str = "0.png", token: str | None = None
    ) -> Response:
        form = self.upload_form(workload_id, data, name)
        return await self.send_multipart("POST", "/images", token or self.user, form)

    def upload_form(self, workload_id: str, data: bytes | None = None, name: str = "0.png") -> Form:
        return (
            Form().field("workload_id", workload_id).file("data", name, picture() if data is None else data)
        )

    async def finish_job(self, worker: str, data: bytes) -> str:
        """The oldest waiting job is done by this worker, through the API; the result's id."""
        token = self.controller.join_worker(worker)
        job = self.controller.lease(worker)
        assert job is not None
        response = await self.send_multipart("POST", "/images", token, result_form(job.lease, data))
        self.assertEqual(response.status, 201, response.body)
        return str(response.json()["image_id"])

    def stored_workload(self, *pictures: bytes) -> str:
        """A workload of the user with these originals, made without requests."""
        by = self.successResultOf(self.controller.authenticate(self.user))
        spec = WorkloadSpec("stored", (("grayscale", {}),))
        workload = self.successResultOf(self.controller.create_workload(by, spec, None)).workload
        for data in pictures:
            incoming = self.store.incoming()
            incoming.write(data)
            image_id = self.ids()
            keeping = self.store.keep(incoming, workload.directory, ImageType.ORIGINAL, image_id, 10**9)
            files = [(image_id, self.successResultOf(keeping))]
            self.successResultOf(self.controller.commit_originals(by, workload.id, files, None))
        return str(workload.id)

    # What is asserted often

    def assert_problem(self, response: Response, status: int, code: str) -> Any:
        """A problem document of this kind, with every member it must have; returned for more."""
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.headers["content-type"], "application/problem+json")
        document = response.json()
        self.assertEqual(document["type"], f"urn:dpip:problem:{code}")
        self.assertEqual(document["status"], status)
        self.assertTrue(document["title"])
        self.assertTrue(document["detail"])
        self.assertEqual(document["request_id"], response.headers.get("x-request-id", document["request_id"]))
        self.assertNotIn(b"Traceback", response.body)
        return document

    def assert_nothing_left(self) -> None:
        """No temporary file, no admission that is still held."""
        self.assertEqual([path for path in self.stored_files() if "incoming" in path], [])
        self.assertEqual(self.uploads_under_way(), 0)

    # The server's side

    def server_side_gone(self) -> Deferred[None]:
        """Fires when the server's end of the newest connection is closed."""
        return self._gone[-1]

    def open_files(self) -> list[str]:
        """Files of the image store that this process has open."""
        opened = [os.path.realpath(f"/proc/self/fd/{number}") for number in os.listdir("/proc/self/fd")]
        return [path for path in opened if path.startswith(self.root) and "sqlite" not in path]

    def _serve(self) -> None:
        """Listens; at the end waits until every connection is gone, so that no test harms another."""
        build = self.site.buildProtocol
        self._gone: list[Deferred[None]] = []
        self.channels: list[Any] = []

        def tracked(address: Any) -> Any:
            channel = build(address)
            gone: Deferred[None] = Deferred()
            self._gone.append(gone)
            self.channels.append(channel)
            lost = channel.connectionLost

            def connection_lost(reason: Any) -> None:
                lost(reason)
                gone.callback(None)

            channel.connectionLost = connection_lost

            def close() -> Deferred[None]:
                if not gone.called:
                    channel.transport.abortConnection()
                return gone

            self.addCleanup(close)
            return channel

        self.site.buildProtocol = tracked
        listening = self._listen()
        self.port = listening.getHost().port
        self.addCleanup(listening.stopListening)

    def _listen(self) -> Any:
        return reactor.listenTCP(0, self.site, interface="127.0.0.1")


def raiser(error: Exception) -> Any:
    """A function that raises this, whatever it is called with."""

    def fail(*_: Any) -> None:
        raise error

    return fail


def noise(size: int) -> bytes:
    """A picture of about so many bytes, different in every one."""
    file = BytesIO()
    side = round((size / 3) ** 0.5)
    Pillow.frombytes("RGB", (side, side), Random(5).randbytes(side * side * 3)).save(file, "BMP")
    return file.getvalue()


def result_form(lease: Any, data: bytes, sha256: str | None = None) -> Form:
    return (
        Form()
        .field("type", "filtered")
        .field("job", str(lease.job))
        .field("attempt", str(lease.attempt))
        .field("nonce", lease.nonce)
        .field("sha256", sha256 or hashlib.sha256(data).hexdigest())
        .file("data", "result.png", data)
    )


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + b64encode(f"{name}:{password}".encode()).decode()}


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}

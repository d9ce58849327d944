"""A client that insists as a good one does, writes down what it is promised, and finds out what was kept."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from http.client import HTTPException
from io import BytesIO
from pathlib import Path
from typing import Any

from attrs import define, field
from PIL import Image
from twisted.internet.defer import Deferred

from dpip.datastore.datastore import Datastore
from dpip.runtime.threads import InlineThreads
from dpip.store.image_store import ImageStore
from tests.frames import encoded, pixels
from tests.simulation.checker import rows_that_cannot_be
from tests.system.plain_client import Answer, PlainClient
from tests.system.processes import PASSWORD, wait_until

WIDTH, HEIGHT = 64, 48


@define(eq=False)
class Order:
    """One workload: how many frames it was promised to have, and the results that have been seen."""

    id: str
    frames: int = 0
    results: dict[str, str] = field(factory=dict)
    """Name of the original to the hash of its result."""


@define(eq=False)
class Ledger:
    """``revive()`` is called when nobody answers. Frames are ``width`` × ``height``."""

    port: int
    revive: Callable[[], object] = lambda: None
    width: int = WIDTH
    height: int = HEIGHT
    orders: list[Order] = field(factory=list)
    violations: list[str] = field(factory=list)
    refusals: list[int] = field(factory=list)
    """Statuses of answers that told to come again."""
    client: PlainClient = field(init=False)
    _name: str = field(factory=lambda: uuid.uuid4().hex, init=False)
    _keys: int = field(default=0, init=False)
    _gone: list[str] = field(factory=list, init=False)
    _dead: list[PlainClient] = field(factory=list, init=False)

    def __attrs_post_init__(self) -> None:
        self.client = PlainClient(self.port)

    # What users do

    def log_in(self) -> None:
        self._insist(lambda: self.client.login("admin", PASSWORD), 200)

    def order(self, filter: str = "grayscale") -> Order:
        asked = {"filter": filter, "numbering": "frames"}
        body, key = json.dumps(asked).encode(), self._key()
        headers = {"Content-Type": "application/json", "Idempotency-Key": key}
        answer = self._insist(lambda: self.client.request("POST", "/workloads", body, headers), 201)
        order = Order(answer.json["workload_id"])
        self.orders.append(order)
        return order

    def upload(self, order: Order) -> None:
        """The next frame; when this returns it is promised."""
        key = self._key()
        self._insist(lambda: self._send(order, key), 201)
        order.frames += 1

    def upload_together(self, order: Order, count: int) -> None:
        """The next frames in one request; when this returns all of them are promised."""
        key, first = self._key(), order.frames
        files = [
            (f"{number}.png", encoded(number, self.width, self.height))
            for number in range(first, first + count)
        ]
        self._insist(lambda: self.client.upload_files({"workload_id": order.id}, files, key), 201)
        order.frames += count

    def try_upload(self, order: Order) -> int:
        """Once, and without a key; the status."""
        status = self._send(order, None).status
        order.frames += status == 201
        return status

    def _send(self, order: Order, key: str | None) -> Answer:
        data = encoded(order.frames, self.width, self.height)
        return self.client.upload(order.id, f"{order.frames}.png", data, key=key)

    def delete(self, order: Order) -> None:
        self._insist(lambda: self.client.request("DELETE", f"/workloads/{order.id}"), 200, 204, 404)
        self.orders.remove(order)
        self._gone.append(order.id)

    def log_out(self, token: str) -> None:
        """Another session of the same user's."""
        other = PlainClient(self.port)
        other.token = token
        self._insist(lambda: other.request("DELETE", "/logout"), 200, 401)
        self._dead.append(other)

    def completed(self, order: Order) -> Any:
        """Waits until the workload is; what the server says of it then."""

        def look() -> Any:
            now = self._ask(f"/workloads/{order.id}").json
            done = now["accepted"] == now["filtered"] + now["failed"] and now["accepted"] >= order.frames
            return now if done and now["status"] == "completed" else None

        return wait_until(look, f"I7: workload {order.id} completed", every=0.02)

    def download(self, order: Order) -> None:
        """All results that there are; none may ever change."""
        for image in self._list(order, "filtered"):
            name = image["name"]
            body = self._ask(f"/images/{image['image_id']}").body
            digest = hashlib.sha256(body).hexdigest()
            if order.results.setdefault(name, digest) != digest:
                self.violations.append(f"I3: the result of {name} in {order.id} has changed")
            self._compare(name, body)

    # What holds for ever

    def check(self) -> None:
        """By the API: every frame once, every result right and as it was, and what was deleted is gone."""
        for order in self.orders:
            now = self.completed(order)
            frames = sorted(f"{number}.png" for number in range(order.frames))
            originals = self._list(order, "original")
            if sorted(image["name"] for image in originals) != frames:
                names = [image["name"] for image in originals]
                self.violations.append(f"I1, I8: {order.id} holds {names} of {order.frames} frames")
            seen = set(order.results)
            self.download(order)
            results = sorted(image["name"] for image in self._list(order, "filtered"))
            if results != frames or now["failed"]:
                words = f"I1: {order.id} of {order.frames} frames, {now['failed']} failed, has the results"
                self.violations.append(f"{words} {results}")
            if not seen <= set(results):
                self.violations.append(f"I3: results of {order.id} are gone")
        for id in self._gone:
            if self._ask(f"/workloads/{id}").status != 404:
                self.violations.append(f"I3: deleted workload {id} is back")
        for other in self._dead:
            if self._insist(partial(other.request, "GET", "/status"), 200, 401).status != 401:
                self.violations.append("I3: a token lives after its logout was acknowledged")

    def _compare(self, name: str, body: bytes) -> None:
        """I2: grayscale, as Pillow has it."""
        expected = Image.fromarray(pixels(int(name.removesuffix(".png")), self.width, self.height)).convert(
            "L"
        )
        if Image.open(BytesIO(body)).tobytes() != expected.tobytes():
            self.violations.append(f"I2: the result of {name} is wrong")

    # How it asks

    def _key(self) -> str:
        self._keys += 1
        return f"{self._name}-{self._keys}"

    def _list(self, order: Order, type: str) -> list[Any]:
        answer = self._ask(f"/images?workload_id={order.id}&type={type}&limit=1000")
        found: list[Any] = answer.json
        return found

    def _ask(self, path: str) -> Answer:
        return self._insist(lambda: self.client.request("GET", path), 200, 404)

    def _insist(self, ask: Callable[[], Answer], *wanted: int) -> Answer:
        """Again and again until there is an answer; any but the wanted and "come again" is a violation."""

        def answered() -> Answer | None:
            try:
                answer = ask()
            except (OSError, HTTPException, ValueError, KeyError):  # cut off, or no answer of ours
                self.revive()
                return None
            if answer.status in (500, 502, 503, 507, 429):
                self.refusals.append(answer.status)
                return None
            return answer

        answer: Answer = wait_until(answered, "an answer", every=0.01)
        assert answer.status in wanted, (answer.status, answer.body)
        return answer


def check_disk(state: Path) -> list[str]:
    """What is wrong in the state directory of a controller that has ended, with all its work done."""
    with closing(sqlite3.connect(state / "dpip.sqlite")) as database:
        found = [
            f"the database is damaged: {words}"
            for (words,) in database.execute("PRAGMA integrity_check")
            if words != "ok"
        ]
        found += [
            f"the database is inconsistent: {row}" for row in database.execute("PRAGMA foreign_key_check")
        ]
        found += rows_that_cannot_be(database, joined=False)
    return [*found, *_files(state)]


def _files(state: Path) -> Iterator[str]:
    """I4: the sweep leaves exactly the files that rows have, and they are what they were."""
    images = state / "images"
    _sweep(state)
    with closing(sqlite3.connect(state / "dpip.sqlite")) as database:
        rows = dict(database.execute(_ROWS).fetchall())
    files = {str(path.relative_to(images)): path for path in images.rglob("*") if path.is_file()}
    for path, digest in rows.items():
        if path not in files:
            yield f"I4: a row without its file: {path}"
        elif hashlib.sha256(files[path].read_bytes()).hexdigest() != digest:
            yield f"I4: a file that is not what its row says: {path}"
    for path in files.keys() - rows.keys():
        if not path.startswith("desks/"):  # those go with the next worker that shares the files
            yield f"I4: a file that no row knows, and no sweep removes: {path}"


_ROWS = """
    SELECT path, sha256 FROM images JOIN workloads w ON w.id = workload_id WHERE w.deleted IS NULL"""


def _sweep(state: Path) -> None:
    datastore = Datastore(state / "dpip.sqlite", InlineThreads(), InlineThreads)
    store = ImageStore(state / "images", InlineThreads(), InlineThreads)
    for service in (datastore, store):
        service.startService()
    swept: Deferred[int] = store.sweep(datastore.directories, datastore.paths, time.time() + 3600)
    failures: list[Any] = []
    swept.addErrback(failures.append)
    for service in (store, datastore):
        service.stopService()
    assert not failures, failures

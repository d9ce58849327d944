"""Workloads: making, looking, deleting."""

from __future__ import annotations

import unicodedata
from collections import OrderedDict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, Protocol

from attrs import define, field

from dpip.api.answers import Answer, json_answer, to_json
from dpip.api.auth import Access
from dpip.api.downloads import not_modified
from dpip.api.forms import Fields
from dpip.api.idempotency import key_of
from dpip.api.routes import Call, Route, next_page
from dpip.api.views import filter_label, summary, workload_json
from dpip.errors import BadParameter
from dpip.interfaces import IController
from dpip.model import Numbering, Params, Principal, Step, Workload, WorkloadSpec

DEFAULT_FILTER = "grayscale"
MAX_NAME = 200
MAX_TAGS, MAX_TAG = 16, 64

_ASKED = ("filter", "steps", "workload_name", "params", "numbering", "tags", "output")
#: Parts of our own answers, which clients send back with the rest: harmless, so they are passed over.
_ANSWERED = (
    *(
        "workload_id",
        "owner",
        "status",
        "created_at",
        "finished_at",
        "size",
        "accepted",
        "filtered",
        "failed",
    ),
    *("running_jobs", "waiting", "filtered_images", "failed_images"),
)


class Registry(Protocol):
    """What the API needs of :mod:`dpip.filters.registry`."""

    def names(self) -> list[str]: ...
    def describe(self) -> list[dict[str, Any]]: ...
    def validate(self, name: str, params: Any) -> Params: ...
    def validate_steps(self, steps: Any) -> list[Step]: ...
    def validate_output(self, output: Any) -> Params: ...


@define
class Workloads:
    controller: IController
    registry: Registry
    now: Callable[[], float]
    _bodies: BodyCache = field(factory=lambda: BodyCache(), init=False)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/workloads", Access.USERS, self.create),
            Route("GET", "/workloads", Access.USERS, self.page),
            Route("GET", "/workloads/<workload_id>", Access.USERS, self.show),
            Route("DELETE", "/workloads/<workload_id>", Access.USERS, self.delete),
        ]

    async def create(self, call: Call) -> Answer:
        """``filter`` and ``params``, or a chain of ``steps``; ``workload_name``, ``numbering``, ``tags``,
        ``output``; or nothing at all.

        With no body the workload is grayscale, gets a generated name, and numbers its results as frames.
        Other members are refused by name, so that a misspelt option is not lost; members of our own answers
        are passed over.
        """
        key = key_of(call, "workloads", call.fields.values)
        workload = await self.controller.create_workload(call.by, self._spec(call.fields), key)
        body = await self._body(call.by, workload)
        return Answer(body, 201, {**_JSON, "Location": f"/workloads/{workload.id}"})

    async def show(self, call: Call, workload_id: str) -> Answer:
        """Polled by every client: made once per change, and not sent again to who has it."""
        workload = await self.controller.workload(call.by, workload_id)
        etag = f'W/"{workload.version}-{self.controller.running_jobs(workload_id)}"'
        headers = {**_JSON, "ETag": etag, "Cache-Control": "private, no-cache"}
        if not_modified(call.header("If-None-Match"), etag):
            return Answer(b"", 304, headers)
        return Answer(await self._body(call.by, workload), 200, headers)

    async def page(self, call: Call) -> Answer:
        """The caller's own, newest first, without their lists; ``after`` is the last id of a page before."""
        limit = call.limit
        found = await self.controller.workloads(
            call.by, after=call.fields.text("after") or None, limit=limit + 1
        )
        shown = found[:limit]
        more = next_page("/workloads", after=shown[-1].id, limit=limit) if len(found) > limit else {}
        return json_answer([summary(w, self.controller.running_jobs(w.id)) for w in shown], headers=more)

    async def delete(self, call: Call, workload_id: str) -> Answer:
        await self.controller.delete_workload(call.by, workload_id)
        self._bodies.forget(workload_id)
        return json_answer({"workload_id": workload_id, "deleted": True})

    async def _body(self, by: Principal, workload: Workload) -> bytes:
        running = self.controller.running_jobs(workload.id)
        known = self._bodies.get(workload.id, workload.version, running)
        if known is not None:
            return known
        ended = workload.filtered + workload.failed
        results, failures = await self.controller.results(by, workload.id) if ended else ((), ())
        body = to_json(workload_json(workload, running, results, failures))
        self._bodies.put(workload.id, workload.version, running, body)
        return body

    def _spec(self, fields: Fields) -> WorkloadSpec:
        """Raises BadParameter, UnknownFilter."""
        if not fields.given:
            fields = Fields({"filter": DEFAULT_FILTER, "numbering": Numbering.FRAMES.value})
        fields.only(*_ASKED, passed_over=_ANSWERED)
        steps = self._steps(fields)
        return WorkloadSpec(
            name=_workload_name(fields) or self._generated_name(filter_label(steps)),
            steps=steps,
            tags=_tags(fields),
            output=self.registry.validate_output(fields.object("output")),
            numbering=fields.choice("numbering", Numbering) or Numbering.IDS,
        )

    def _steps(self, fields: Fields) -> tuple[Step, ...]:
        """The chain that is asked for; a single filter is a chain of one."""
        name, params, chain = fields.text("filter"), fields.object("params"), fields.array("steps")
        if chain:
            steps = tuple(self.registry.validate_steps(chain))
            # Both is fine when they say the same, as our own answers do.
            if name in (None, "", filter_label(steps)) and params in ({}, steps[0][1]):
                return steps
            raise BadParameter("Give either steps, each with its parameters, or one filter with params.")
        if name:
            return ((name, self.registry.validate(name, params)),)
        available = self.registry.names()
        raise BadParameter(
            f"filter is missing. Known filters: {', '.join(available)}.",
            parameter="filter",
            available=available,
        )

    def _generated_name(self, filter_name: str) -> str:
        return f"{filter_name} {datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d %H:%M:%S}"


@define
class BodyCache:
    """The newest body of each workload that is looked at, up to ``limit`` bytes in all."""

    limit: int = 16 * 1024 * 1024
    _known: OrderedDict[str, tuple[int, int, bytes]] = field(factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)

    def get(self, workload_id: str, version: int, running: int) -> bytes | None:
        known = self._known.get(workload_id)
        return known[2] if known is not None and known[:2] == (version, running) else None

    def put(self, workload_id: str, version: int, running: int, body: bytes) -> None:
        self.forget(workload_id)
        self._known[workload_id] = version, running, body
        self._size += len(body)
        while self._size > self.limit:
            self._size -= len(self._known.popitem(last=False)[1][2])

    def forget(self, workload_id: str) -> None:
        known = self._known.pop(workload_id, None)
        if known is not None:
            self._size -= len(known[2])


_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _workload_name(fields: Fields) -> str | None:
    """Any printable text, ``../../etc`` and emoji too: it is data, and never a path."""
    name = fields.text("workload_name")
    if name is None:
        return None
    name = name.strip()
    if not 1 <= len(name) <= MAX_NAME or any(unicodedata.category(c) in _CONTROL for c in name):
        raise BadParameter(
            f"workload_name has 1 to {MAX_NAME} characters, without control characters.",
            parameter="workload_name",
        )
    return name


_CONTROL = ("Cc", "Cs", "Zl", "Zp")


def _tags(fields: Fields) -> tuple[str, ...]:
    tags = fields.words("tags")
    if len(tags) > MAX_TAGS or not all(_is_tag(tag) for tag in tags):
        raise BadParameter(
            f"tags are at most {MAX_TAGS} words of 1 to {MAX_TAG} letters, digits, '-', '_' or '.'.",
            parameter="tags",
        )
    return tuple(dict.fromkeys(tags))


def _is_tag(tag: str) -> bool:
    return (
        1 <= len(tag) <= MAX_TAG
        and tag.isascii()
        and tag.replace("-", "").replace("_", "").replace(".", "").isalnum()
    )

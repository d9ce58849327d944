"""Workloads: making them, looking at them, changing their course, deleting them."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from hashlib import blake2b
from typing import Any, Protocol

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dpip.api.http.answers import Answer, json_answer, to_json
from dpip.api.http.auth import Access
from dpip.api.http.downloads import not_modified
from dpip.api.http.forms import Fields
from dpip.api.http.idempotency import key_of
from dpip.api.http.routes import ApiCall, Route, page_answer
from dpip.api.lists import ListMaker, Lists, changes
from dpip.api.views import WORKLOAD_MEMBERS, filter_label, summary, webhook_json, why_json
from dpip.errors import BadParameter
from dpip.interfaces import IController
from dpip.model import Numbering, Params, Selection, Step, Webhook, WorkloadSpec, WorkloadStatus

DEFAULT_FILTER = "grayscale"
CONVERT = "convert"
MAX_NAME = 200
MAX_TAGS, MAX_TAG = 16, 64
MAX_RETRIED = 10_000
MAX_URL, MIN_SECRET, MAX_SECRET = 2000, 16, 256

_ASKED = ("filter", "steps", "workload_name", "params", "numbering", "tags", "output")
_LISTS = frozenset({"filtered_images", "failed_images"})
#: Parts of our own answers, which clients send back with the rest: harmless, so they are passed over.
_ANSWERED = tuple(name for name in WORKLOAD_MEMBERS if name not in _ASKED)


class Registry(Protocol):
    """The part of :mod:`dpip.filters.registry` that the API needs."""

    def names(self) -> list[str]: ...
    def describe(self) -> list[dict[str, Any]]: ...
    def validate(self, name: str, params: Any) -> Params: ...
    def validate_steps(self, steps: Any) -> list[Step]: ...
    def validate_output(self, output: Any) -> Params: ...


@define
class WorkloadRoutes:
    controller: IController
    registry: Registry
    now: Callable[[], float]
    clock: IReactorTime
    _lists: ListMaker = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lists = ListMaker(self.controller, self.clock.seconds)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/workloads", Access.USERS, self.create_workload),
            Route("GET", "/workloads", Access.USERS, self.list_workloads),
            Route("GET", "/workloads/<workload_id>", Access.USERS, self.show_workload),
            Route("GET", "/workloads/<workload_id>/why", Access.USERS, self.why),
            Route("POST", "/workloads/<workload_id>/seal", Access.USERS, self.seal_workload),
            Route("GET", "/workloads/<workload_id>/webhook", Access.USERS, self.webhook),
            Route("POST", "/workloads/<workload_id>/cancel", Access.USERS, self.cancel_workload),
            Route("POST", "/workloads/<workload_id>/retry", Access.USERS, self.retry_images),
            Route("DELETE", "/workloads/<workload_id>", Access.USERS, self.delete_workload),
        ]

    async def create_workload(self, call: ApiCall) -> Answer:
        """Make a workload of ``filter`` and ``params``, or of a chain of ``steps``, or of nothing at all.

        With ``output`` alone the images are converted, and not filtered.

        ``workload_name``, ``numbering``, ``tags`` and ``output`` may be given, too.

        With no body the workload is grayscale, gets a generated name, and numbers its results as frames.
        Other members are refused by name, so that a misspelt option is not lost; members of our own answers
        are passed over.
        """
        key = key_of(call, "workloads", call.fields.values)
        progress = await self.controller.create_workload(call.by, self._spec(call.fields), key)
        body = _body(await self._lists.lists(call.by, progress), WORKLOAD_MEMBERS)
        return Answer(body, 201, {**_JSON, "Location": f"/workloads/{progress.workload.id}"})

    async def show_workload(self, call: ApiCall, workload_id: str) -> Answer:
        """Show a workload with its lists.

        ``fields`` names the members that are wanted. A client that has the newest answer gets a 304.
        """
        fields = _wanted(call.fields)
        progress = await self.controller.workload(call.by, workload_id)
        lists = await self._lists.lists(call.by, progress) if _LISTS & set(fields) else Lists(progress)
        etag = _etag(lists, fields)
        headers = {**_JSON, "ETag": etag, "Cache-Control": "private, no-cache"}
        if not_modified(call.header("If-None-Match"), etag):
            return Answer(b"", 304, headers)
        return Answer(_body(lists, fields), 200, headers)

    async def list_workloads(self, call: ApiCall) -> Answer:
        """List the caller's workloads, newest first, without lists; ``after`` is the last page's last id.

        ``status`` names one or several, ``name`` a part of the name.
        """
        fields, limit = call.fields, call.limit
        fields.only("status", "name", "after", "limit")
        statuses, name = fields.choices("status", WorkloadStatus), fields.text("name") or ""
        found = await self.controller.workloads(
            call.by, Selection(statuses, name), fields.text("after") or None, limit + 1
        )
        asked = {"status": ",".join(statuses) or None, "name": name or None}
        return page_answer(
            "/workloads", limit, found, summary, lambda last: {**asked, "after": last.workload.id}
        )

    async def why(self, call: ApiCall, workload_id: str) -> Answer:
        """Say why its jobs are where they are: those that workers have, one by one, and the waiting ones."""
        reasons = await self.controller.why(call.by, workload_id)
        return json_answer(why_json(workload_id, reasons))

    async def seal_workload(self, call: ApiCall, workload_id: str) -> Answer:
        """Take no more uploads: ``completed`` is final then. The answer is the workload without its lists.

        ``webhook`` is an object of ``url`` and ``secret``: it is called when the workload has completed.
        """
        call.fields.only("webhook")
        sealing = self.controller.seal_workload(call.by, workload_id, _webhook(call.fields))
        return json_answer(summary(await sealing))

    async def webhook(self, call: ApiCall, workload_id: str) -> Answer:
        """Show its webhook, and what became of the calls, the newest first."""
        return json_answer(webhook_json(await self.controller.webhook(call.by, workload_id)))

    async def cancel_workload(self, call: ApiCall, workload_id: str) -> Answer:
        """Fail what has not ended, so that the workload is completed. ``cancelled`` counts these images."""
        call.fields.only()
        progress, ended = await self.controller.cancel_workload(call.by, workload_id)
        return json_answer({**summary(progress), "cancelled": ended})

    async def retry_images(self, call: ApiCall, workload_id: str) -> Answer:
        """Filter the failed images once more, or those of the list ``images`` (ids of originals).

        ``retried`` counts them; named images that have not failed stay as they are.
        """
        call.fields.only("images")
        named = call.fields.words("images") if "images" in call.fields.values else None
        if named is not None and len(named) > MAX_RETRIED:
            raise BadParameter(f"images may name at most {MAX_RETRIED}.", parameter="images")
        progress, retried = await self.controller.retry_images(call.by, workload_id, named)
        return json_answer({**summary(progress), "retried": retried})

    async def delete_workload(self, call: ApiCall, workload_id: str) -> Answer:
        """Delete the workload with all its images, also while it runs."""
        await self.controller.delete_workload(call.by, workload_id)
        self._lists.forget(workload_id)
        return json_answer({"workload_id": workload_id, "deleted": True})

    def _spec(self, fields: Fields) -> WorkloadSpec:
        """Read what is asked for. Raises BadParameter, UnknownFilter."""
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
        """Return the chain that is asked for; a single filter is a chain of one."""
        name, params, chain = fields.text("filter"), fields.object("params"), fields.array("steps")
        if chain:
            steps = tuple(self.registry.validate_steps(chain))
            # Both is fine when they say the same, as our own answers do.
            if name in (None, "", filter_label(steps)) and params in ({}, steps[0][1]):
                return steps
            raise BadParameter("Give either steps, each with its parameters, or one filter with params.")
        if name:
            return ((name, self.registry.validate(name, params)),)
        if fields.object("output") and not params:
            return ((CONVERT, self.registry.validate(CONVERT, {})),)
        available = self.registry.names()
        raise BadParameter(
            "filter is missing; without one, output says what to convert to. Known filters: "
            f"{', '.join(available)}.",
            parameter="filter",
            available=available,
        )

    def _generated_name(self, filter_name: str) -> str:
        return f"{filter_name} {datetime.fromtimestamp(self.now(), UTC):%Y-%m-%d %H:%M:%S}"


def _webhook(fields: Fields) -> Webhook | None:
    asked = fields.object("webhook")
    if not asked:
        return None
    given = Fields(asked)
    given.only("url", "secret")
    url, secret = given.required("url"), given.required("secret")
    if len(url) > MAX_URL or not MIN_SECRET <= len(secret) <= MAX_SECRET:
        raise BadParameter(
            f"A webhook has a url of at most {MAX_URL} characters and a secret of {MIN_SECRET} to "
            f"{MAX_SECRET}.",
            parameter="webhook",
        )
    return Webhook(url, secret)


def _wanted(fields: Fields) -> Sequence[str]:
    """Return the members that the answer shall have, in its order. Raises BadParameter."""
    asked = fields.words("fields")
    unknown = [name for name in asked if name not in WORKLOAD_MEMBERS]
    if unknown:
        raise BadParameter(
            f"A workload has no {unknown[0][:64]!r}. fields may name: {', '.join(WORKLOAD_MEMBERS)}.",
            parameter="fields",
            available=list(WORKLOAD_MEMBERS),
        )
    return [name for name in WORKLOAD_MEMBERS if name in asked] if asked else WORKLOAD_MEMBERS


def _members_but_lists(lists: Lists, fields: Sequence[str]) -> dict[str, object]:
    """Return the wanted members except the lists."""
    said = summary(lists.progress)
    return {name: said[name] for name in fields if name in said}


def _body(lists: Lists, fields: Sequence[str]) -> bytes:
    """Return the JSON object. The lists, which may be long, are joined to it as they are."""
    members = [to_json(_members_but_lists(lists, fields)).strip()[1:-1]]
    members += [b'"filtered_images": ' + lists.filtered] if "filtered_images" in fields else []
    members += [b'"failed_images": ' + lists.failed] if "failed_images" in fields else []
    return b"{" + b", ".join(member for member in members if member) + b"}\n"


def _etag(lists: Lists, fields: Sequence[str]) -> str:
    """Return the ETag of an answer. A workload's counts determine its lists, see :mod:`dpip.api.lists`."""
    text = to_json([fields, changes(lists.progress.workload), _members_but_lists(lists, fields)])
    return f'W/"{blake2b(text, digest_size=12).hexdigest()}"'


_JSON = {"Content-Type": "application/json", "Cache-Control": "no-store"}


def _workload_name(fields: Fields) -> str | None:
    """Return any printable text, ``../../etc`` and emoji too: it is data, and never a path."""
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

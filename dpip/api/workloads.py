"""Workloads: making them, looking at them, changing their course, deleting them."""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import blake2b

from attrs import define, field
from twisted.internet.interfaces import IReactorTime

from dpip.api.http.answers import Answer, json_answer, to_json
from dpip.api.http.auth import Access
from dpip.api.http.downloads import not_modified
from dpip.api.http.forms import Fields
from dpip.api.http.idempotency import key_of
from dpip.api.http.routes import ApiCall, Route, page_answer
from dpip.api.lists import ListMaker, Lists, changes
from dpip.api.specs import SpecReader
from dpip.api.views import WORKLOAD_MEMBERS, summary, webhook_json, why_json
from dpip.errors import BadParameter
from dpip.interfaces import IController
from dpip.model import PlaceOrder, PlaceSelection, Selection, Webhook, WorkloadStatus

MAX_RETRIED = 10_000
MAX_URL, MIN_SECRET, MAX_SECRET = 2000, 16, 256

_LISTS = frozenset({"filtered_images", "failed_images"})


@define
class WorkloadRoutes:
    controller: IController
    specs: SpecReader
    clock: IReactorTime
    _lists: ListMaker = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._lists = ListMaker(self.controller, self.clock.seconds)

    def routes(self) -> list[Route]:
        return [
            Route("POST", "/workloads", Access.USERS, self.create_workload),
            Route("GET", "/workloads", Access.USERS, self.list_workloads),
            Route("GET", "/workloads/<workload_id>", Access.USERS, self.show_workload),
            Route("GET", "/workloads/<workload_id>/places", Access.USERS, self.places),
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

        Or of a ``preset`` of the caller: ``output`` and ``tags`` beside it change what they name.

        ``workload_name``, ``numbering``, ``tags`` and ``output`` may be given, too.

        With no body the workload is grayscale, gets a generated name, and numbers its results as frames.
        Other members are refused by name, so that a misspelt option is not lost; members of our own answers
        are passed over.
        """
        key = key_of(call, "workloads", call.fields.values)
        spec = await self.specs.wanted(call.by, call.fields)
        progress = await self.controller.create_workload(call.by, spec, key)
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
        which = Selection(statuses, name)
        found = await self.controller.workloads(call.by, which, fields.text("after") or None, limit + 1)
        is_cut = False
        if 0 < len(found) <= limit:  # a page of long descriptions has fewer
            is_cut = bool(await self.controller.workloads(call.by, which, found[-1].workload.id, 1))
        asked = {"status": ",".join(statuses) or None, "name": name or None}
        return page_answer(
            "/workloads", limit, found, summary, lambda last: {**asked, "after": last.workload.id}, is_cut
        )

    async def why(self, call: ApiCall, workload_id: str) -> Answer:
        """Say why its jobs are where they are: those that workers have, one by one, and the waiting ones."""
        reasons = await self.controller.why(call.by, workload_id)
        return json_answer(why_json(workload_id, reasons))

    async def places(self, call: ApiCall, workload_id: str) -> Answer:
        """List the places (``seq``) of its images, by ``sort``; ``-`` in front of it turns the order around.

        ``name`` is a part of the name, ``failed`` chooses those that failed.
        """
        fields = call.fields
        fields.only("name", "failed", "sort")
        sort = fields.text("sort") or PlaceOrder.SEQ.value
        order = Fields({"sort": sort.removeprefix("-")}).choice("sort", PlaceOrder) or PlaceOrder.SEQ
        which = PlaceSelection(
            fields.text("name") or "", fields.boolean("failed"), order, descending=sort.startswith("-")
        )
        places = await self.controller.places(call.by, workload_id, which)
        return json_answer({"workload_id": workload_id, "places": list(places)})

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

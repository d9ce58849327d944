"""The system itself: its state, its workers, what happened, what it can do, whether it lives."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dpip import __version__
from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.forms import Fields
from dpip.api.http.routes import MAX_PAGE, ApiCall, Route, page_answer
from dpip.api.views import activity_json, join_token_json, sample_json, summary, timestamp, worker_json
from dpip.api.workloads import Registry
from dpip.errors import BadParameter, RetryLater, Unauthenticated
from dpip.interfaces import IController
from dpip.model import UNFINISHED
from dpip.runtime.metrics import CONTENT_TYPE, as_text

log = Logger()

_MAX_NUMBER = 2**62
_MAX_VALID = 10 * 365 * 24 * 3600
_MAX_GRACE = 7 * 24 * 3600
_DEFAULT_HISTORY_SECONDS = 3600.0
_READY_SECONDS = 2.0


@define
class SystemRoutes:
    controller: IController
    registry: Registry
    clock: IReactorTime
    now: Callable[[], float]

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/status", Access.USERS, self.status),
            Route("GET", "/filters", Access.ANY, self.filters),
            Route("GET", "/workers", Access.ADMINS, self.workers),
            Route("GET", "/workers/<path:name>/history", Access.ADMINS, self.history),
            Route("POST", "/workers/<path:name>/drain", Access.ADMINS, self.drain),
            Route("POST", "/workers/<path:name>/revoke", Access.ADMINS, self.revoke),
            Route("GET", "/join-token", Access.ADMINS, self.join_token),
            Route("POST", "/join-token", Access.ADMINS, self.rotate_join_token),
            Route("GET", "/activity", Access.ADMINS, self.activity),
            Route("GET", "/metrics", Access.ADMINS, self.metrics),
            Route("GET", "/healthz", Access.PUBLIC, self.healthz),
            Route("GET", "/readyz", Access.PUBLIC, self.readyz),
        ]

    async def status(self, call: ApiCall) -> Answer:
        """``active_workloads``: the caller's own that are not completed, an admin's are everyone's."""
        active = await self.controller.workloads(call.by, UNFINISHED, limit=MAX_PAGE)
        answer: dict[str, Any] = {
            "system_name": "DPIP",
            "version": __version__,
            "server_time": timestamp(self.now()),
            "user": call.by.name,
            "role": call.by.role.value,
            "active_workloads": [summary(progress) for progress in active],
        }
        if call.by.is_admin:
            answer["warnings"] = list(await self.controller.warnings())
        return json_answer(answer)

    async def filters(self, _call: ApiCall) -> Answer:
        """Every filter with its parameters."""
        return json_answer(self.registry.describe())

    async def workers(self, call: ApiCall) -> Answer:
        """Every worker known, joined or gone, with its newest load."""
        known = await self.controller.workers(call.by)
        return json_answer([worker_json(one) for one in known])

    async def history(self, call: ApiCall, name: str) -> Answer:
        """A worker's load over time, oldest first, ``since`` a time (default: an hour ago)."""
        since = _time(call.fields, "since")
        if since is None:
            since = self.now() - _DEFAULT_HISTORY_SECONDS
        samples = await self.controller.worker_history(call.by, name, since)
        return json_answer([sample_json(sample) for sample in samples])

    async def drain(self, call: ApiCall, name: str) -> Answer:
        """No more jobs for this worker; it finishes or returns those it has, and ends."""
        call.fields.only()
        await self.controller.drain_worker(call.by, name)
        return json_answer({"worker": name, "draining": True}, 202)

    async def revoke(self, call: ApiCall, name: str) -> Answer:
        """This worker's certificates are refused from now on, and its link ends at once.

        Only a join token that is made later lets it in again: ``POST /join-token``.
        """
        call.fields.only()
        revoked = await self.controller.revoke_worker(call.by, name)
        return json_answer({"worker": name, "certificates": revoked})

    async def join_token(self, call: ApiCall) -> Answer:
        """The token by which workers join for the first time."""
        return json_answer(join_token_json(await self.controller.join_token(call.by)))

    async def rotate_join_token(self, call: ApiCall) -> Answer:
        """A new join token, good for ``seconds`` or for ever; the last one is for ``grace`` seconds more.

        Workers that have joined go on: they have certificates.
        """
        call.fields.only("seconds", "grace")
        seconds = call.fields.integer("seconds", 1, _MAX_VALID)
        grace = call.fields.integer("grace", 0, _MAX_GRACE) or 0
        token = await self.controller.rotate_join_token(call.by, seconds, grace)
        return json_answer(join_token_json(token), 201)

    async def activity(self, call: ApiCall) -> Answer:
        """Who did what, newest first; ``before`` is the last number of the page before."""
        before = call.fields.integer("before", 0, _MAX_NUMBER)
        found = await self.controller.activity(call.by, before, call.limit + 1)
        return page_answer("/activity", call.limit, found, activity_json, lambda last: {"before": last[0]})

    async def metrics(self, call: ApiCall) -> Answer:
        """What is measured, as Prometheus reads it. Give the scraper a named token of an admin."""
        measured = await self.controller.metrics(call.by)
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return Answer(as_text(measured).encode(), 200, headers)

    async def healthz(self, _call: ApiCall) -> Answer:
        """The process answers."""
        return json_answer({"status": "alive"})

    async def readyz(self, _call: ApiCall) -> Answer:
        """The datastore answers: to refuse a token that nobody has, it must look for it."""
        try:
            await self.controller.authenticate("readyz").addTimeout(_READY_SECONDS, self.clock)
        except Unauthenticated:
            return json_answer({"status": "ready"})
        except RetryLater:  # it says itself that it cannot
            raise
        except Exception:  # noqa: BLE001 - whatever it is: not ready
            log.failure("The controller does not answer")
        raise RetryLater("The controller does not answer at the moment.", retry_after=5)


def _time(fields: Fields, name: str) -> float | None:
    """RFC 3339, or seconds since the epoch."""
    text = fields.text(name)
    if text is None:
        return None
    try:
        seconds = float(text)
    except ValueError:
        seconds = _from_date(text, name)
    if not math.isfinite(seconds):
        raise _no_time(name)
    return seconds


def _from_date(text: str, name: str) -> float:
    try:
        when = datetime.fromisoformat(text)
        return (when if when.tzinfo is not None else when.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise _no_time(name) from None


def _no_time(name: str) -> BadParameter:
    return BadParameter(f"{name} must be a time such as 2026-01-31T12:00:00Z.", parameter=name)

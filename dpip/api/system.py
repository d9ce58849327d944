"""The system itself: its state, its filters, what happened, what is measured, whether it lives."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from dpip import __version__
from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.routes import MAX_PAGE, ApiCall, Route, page_answer
from dpip.api.specs import Registry
from dpip.api.views import activity_json, summary, timestamp
from dpip.errors import RetryLater, Unauthenticated
from dpip.interfaces import IController
from dpip.model import UNFINISHED
from dpip.runtime.metrics import CONTENT_TYPE, as_text

log = Logger()

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
            Route("GET", "/output", Access.ANY, self.output),
            Route("GET", "/first-login", Access.PUBLIC, self.first_login),
            Route("GET", "/activity", Access.ADMINS, self.activity),
            Route("GET", "/metrics", Access.ADMINS, self.metrics),
            Route("GET", "/healthz", Access.PUBLIC, self.healthz),
            Route("GET", "/readyz", Access.PUBLIC, self.readyz),
        ]

    async def status(self, call: ApiCall) -> Answer:
        """Show the system's state; ``active_workloads`` are the caller's, or everyone's for an admin."""
        active = await self.controller.workloads(call.by, UNFINISHED, limit=MAX_PAGE)
        answer: dict[str, Any] = {
            "system_name": "DPIP",
            "version": __version__,
            "server_time": timestamp(self.now()),
            "user": call.by.name,
            "role": call.by.role.value,
            "worker_tags": list(await self.controller.worker_tags(call.by)),
            "active_workloads": [summary(progress) for progress in active],
        }
        if call.by.is_admin:
            answer["warnings"] = list(await self.controller.warnings())
        return json_answer(answer)

    async def filters(self, _call: ApiCall) -> Answer:
        """List every filter with its parameters."""
        return json_answer(self.registry.describe())

    async def output(self, _call: ApiCall) -> Answer:
        """List the options of ``output``, as the parameters of filters are listed."""
        return json_answer(self.registry.describe_output())

    async def first_login(self, call: ApiCall) -> Answer:
        """Say in which file the first password is, as long as nobody has logged in; else null.

        Who asks from another machine gets the file's name alone.
        """
        path = await self.controller.first_password()
        here = call.address in ("127.0.0.1", "::1")
        return json_answer({"password_file": path if path is None or here else os.path.basename(path)})

    async def activity(self, call: ApiCall) -> Answer:
        """List who did what, newest first; ``before`` is the last number of the page before.

        ``subject`` and ``actor`` select: what was done to a thing, and what somebody did.
        """
        fields = call.fields
        fields.only("before", "limit", "subject", "actor")
        before = fields.integer("before", 0)
        asked = {name: fields.text(name) for name in ("subject", "actor")}
        found = await self.controller.activity(call.by, before, call.limit + 1, **asked)
        return page_answer(
            "/activity", call.limit, found, activity_json, lambda last: {**asked, "before": last[0]}
        )

    async def metrics(self, call: ApiCall) -> Answer:
        """Show what is measured, as Prometheus reads it. Give the scraper a named token of an admin."""
        measured = await self.controller.metrics(call.by)
        headers = {"Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"}
        return Answer(as_text(measured).encode(), 200, headers)

    async def healthz(self, _call: ApiCall) -> Answer:
        """Say that the process answers."""
        return json_answer({"status": "alive"})

    async def readyz(self, _call: ApiCall) -> Answer:
        """Say whether the datastore answers: to refuse a token that nobody has, it must look for it."""
        try:
            await self.controller.authenticate("readyz").addTimeout(_READY_SECONDS, self.clock)
        except Unauthenticated:
            return json_answer({"status": "ready"})
        except RetryLater:  # it says itself that it cannot
            raise
        except Exception:  # noqa: BLE001 - whatever it is: not ready
            log.failure("The controller does not answer")
        raise RetryLater("The controller does not answer at the moment.", retry_after=5)

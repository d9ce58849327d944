"""Workers, and the token by which they join: for admins."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define

from dpip.api.http.answers import Answer, json_answer
from dpip.api.http.auth import Access
from dpip.api.http.routes import ApiCall, Route, page_answer
from dpip.api.views import join_token_json, sample_json, worker_job_json, worker_json
from dpip.interfaces import IController
from dpip.model import Presence

_MAX_VALID = 10 * 365 * 24 * 3600
_MAX_GRACE = 7 * 24 * 3600
_DEFAULT_HISTORY_SECONDS = 3600.0


@define
class WorkerRoutes:
    controller: IController
    now: Callable[[], float]

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/workers", Access.ADMINS, self.list_workers),
            Route("GET", "/workers/<path:name>/history", Access.ADMINS, self.load_history),
            Route("GET", "/workers/<path:name>/jobs", Access.ADMINS, self.worker_jobs),
            Route("DELETE", "/workers/<path:name>", Access.ADMINS, self.forget_worker),
            Route("POST", "/workers/<path:name>/drain", Access.ADMINS, self.drain_worker),
            Route("POST", "/workers/<path:name>/resume", Access.ADMINS, self.resume_worker),
            Route("POST", "/workers/<path:name>/revoke", Access.ADMINS, self.revoke_worker),
            Route("GET", "/join-token", Access.ADMINS, self.join_token),
            Route("POST", "/join-token", Access.ADMINS, self.rotate_join_token),
        ]

    async def list_workers(self, call: ApiCall) -> Answer:
        """List the known workers by name, joined or gone, with their newest loads; ``state`` selects.

        ``after`` is the last page's last name. A worker that is gone is forgotten after 90 days.
        """
        fields, limit = call.fields, call.limit
        fields.only("state", "after", "limit")
        state = fields.choice("state", Presence)
        joined = None if state is None else state is Presence.JOINED
        found = await self.controller.workers(call.by, joined, fields.text("after") or None, limit + 1)
        asked = {"state": state and state.value}
        return page_answer(
            "/workers", limit, found, worker_json, lambda last: {**asked, "after": last[0].info.name}
        )

    async def load_history(self, call: ApiCall, name: str) -> Answer:
        """List a worker's load over time, oldest first, ``since`` a time (default: an hour ago)."""
        since = call.fields.time("since")
        if since is None:
            since = self.now() - _DEFAULT_HISTORY_SECONDS
        samples = await self.controller.worker_history(call.by, name, since)
        return json_answer([sample_json(sample) for sample in samples])

    async def worker_jobs(self, call: ApiCall, name: str) -> Answer:
        """List the jobs that a worker has, the oldest first: which it computes now, and which wait there."""
        call.fields.only()
        return json_answer([worker_job_json(job) for job in await self.controller.worker_jobs(call.by, name)])

    async def forget_worker(self, call: ApiCall, name: str) -> Answer:
        """Remove the record of a worker that is gone. One that is kept out is remembered."""
        call.fields.only()
        await self.controller.forget_worker(call.by, name)
        return json_answer({"worker": name, "deleted": True})

    async def drain_worker(self, call: ApiCall, name: str) -> Answer:
        """Give this worker no more jobs. It finishes or returns those it has, and ends."""
        call.fields.only()
        await self.controller.drain_worker(call.by, name)
        return json_answer({"worker": name, "draining": True}, 202)

    async def resume_worker(self, call: ApiCall, name: str) -> Answer:
        """Start the worker in the service's own process again, which was drained.

        Others are started again on their machines.
        """
        call.fields.only()
        await self.controller.resume_worker(call.by, name)
        return json_answer({"worker": name, "resuming": True}, 202)

    async def revoke_worker(self, call: ApiCall, name: str) -> Answer:
        """Refuse this worker's certificates from now on, and end its link.

        Only a join token that is made later lets the worker in again: ``POST /join-token``.
        """
        call.fields.only()
        revoked = await self.controller.revoke_worker(call.by, name)
        return json_answer({"worker": name, "certificates": revoked})

    async def join_token(self, call: ApiCall) -> Answer:
        """Show the token by which workers join for the first time."""
        return json_answer(join_token_json(await self.controller.join_token(call.by)))

    async def rotate_join_token(self, call: ApiCall) -> Answer:
        """Make a new join token, good for ``seconds`` or for ever; the old one is good for ``grace`` seconds.

        Workers that have joined go on: they have certificates.
        """
        call.fields.only("seconds", "grace")
        seconds = call.fields.integer("seconds", 1, _MAX_VALID)
        grace = call.fields.integer("grace", 0, _MAX_GRACE) or 0
        token = await self.controller.rotate_join_token(call.by, seconds, grace)
        return json_answer(join_token_json(token), 201)

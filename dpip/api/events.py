"""The changes of workloads and workers as server-sent events, as browsers' ``EventSource`` takes them.

=========== ==========================================================================================
snapshot    first, and again when what was missed is not known any more: ``workloads`` that are not
            completed (of a workload's own events: that one), for admins ``workers`` that have joined
workload    a workload has changed: its members, without the lists of images
deleted     ``workload_id``
worker      for admins: ``worker``, ``joined`` and ``load``
=========== ==========================================================================================

Each event tells how a thing is now, so a client that was away or slow misses nothing that is still true.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.api.http.answers import to_json
from dpip.api.http.auth import Access
from dpip.api.http.limits import HttpLimits
from dpip.api.http.request import Request
from dpip.api.http.routes import ApiCall, Route
from dpip.api.http.streams import BodyWriter, begin_body
from dpip.api.schemas import Json
from dpip.api.views import summary, timestamp, worker_state_json
from dpip.errors import NotFound, RetryLater, TooManyRequests, Unauthenticated
from dpip.interfaces import IController
from dpip.model import Update, Updates

_RETRY_MS = 2000  # until a browser that has lost us tries again
_ROOM_SECONDS = 10
_HEADERS = {
    "Content-Type": "text/event-stream",
    "Cache-Control": "no-store",
    "X-Accel-Buffering": "no",  # asks nginx to pass each event on at once
}
_HEARTBEAT = b": still there\n\n"


@define
class EventRoutes:
    controller: IController
    now: Callable[[], float]
    _watching: Counter[str] = field(factory=Counter, init=False)  # streams of each user

    def routes(self) -> list[Route]:
        return [
            Route("GET", "/events", Access.USERS, self.follow_all, by_link=True),
            Route("GET", "/workloads/<workload_id>/events", Access.USERS, self.follow_workload, by_link=True),
        ]

    async def follow_all(self, call: ApiCall) -> EventStream:
        """Follow the caller's workloads as they change; an admin follows everyone's, and the workers."""
        return await self._stream(call, None)

    async def follow_workload(self, call: ApiCall, workload_id: str) -> EventStream:
        """Follow one workload as it changes. The stream ends when the workload is deleted."""
        return await self._stream(call, workload_id)

    async def _stream(self, call: ApiCall, workload_id: str | None) -> EventStream:
        after = call.header("Last-Event-ID") or None
        first = await self.controller.updates(call.by, workload_id, after, wait=False)
        return EventStream(self.controller, call, workload_id, first, self.now, self._watching)


@define
class EventStream:
    """One client's events, a :class:`dpip.api.http.streams.Streamed`.

    Nothing is asked while the client does not read; the stream goes on with the newest state then.
    """

    controller: IController
    call: ApiCall
    workload_id: str | None
    first: Updates
    now: Callable[[], float]
    watching: Counter[str]

    async def send(self, request: Request, clock: IReactorTime, limits: HttpLimits) -> None:
        """Write events until the client leaves, its token dies or the workload is deleted.

        Raises TooManyRequests.
        """
        name = self.call.by.name
        if self.watching[name] >= limits.streams:
            raise TooManyRequests(
                f"{name} follows events {limits.streams} times already: close some.", _ROOM_SECONDS
            )
        self.watching[name] += 1
        try:
            if begin_body(request, _HEADERS):
                with BodyWriter(request, clock, limits.stall_seconds) as out:
                    await self._write_events(out, clock)
        finally:
            self.watching[name] -= 1

    async def _write_events(self, out: BodyWriter, clock: IReactorTime) -> None:
        updates = self.first
        await out.write(b"retry: %d\n\n" % _RETRY_MS)
        while True:
            await out.write(self._events(updates))
            if self.workload_id is not None and any(update.deleted for update in updates.items):
                return
            try:
                updates = await self._updates_after(updates.id, out, clock)
            except Unauthenticated:
                return
            except NotFound:  # deleted while nobody asked
                await out.write(_event("deleted", "", {"workload_id": self.workload_id}))
                return

    async def _updates_after(self, id: str, out: BodyWriter, clock: IReactorTime) -> Updates:
        """Wait for what comes next. Raises NotFound, and Unauthenticated when the token has died."""
        while True:
            try:
                updates = await self.controller.updates(self.call.by, self.workload_id, id, wait=True)
                await self.call.still_allowed()
            except RetryLater as away:  # the controller is restarted, perhaps
                await out.write(_HEARTBEAT)
                await deferLater(clock, away.retry_after)
            else:
                return updates

    def _events(self, updates: Updates) -> bytes:
        if updates.snapshot:
            return _event("snapshot", updates.id, self._snapshot(updates))
        return b"".join([_change(update) for update in updates.items]) or _HEARTBEAT

    def _snapshot(self, updates: Updates) -> Json:
        workloads = [summary(update.workload) for update in updates.items if update.workload is not None]
        workers = [worker_state_json(update.worker) for update in updates.items if update.worker is not None]
        snapshot: Json = {"server_time": timestamp(self.now()), "workloads": workloads}
        if self.call.by.is_admin and self.workload_id is None:
            snapshot["workers"] = workers
        return snapshot


def _change(update: Update) -> bytes:
    if update.workload is not None:
        return _event("workload", update.id, summary(update.workload))
    if update.worker is not None:
        return _event("worker", update.id, worker_state_json(update.worker))
    return _event("deleted", update.id, {"workload_id": update.deleted})


def _event(name: str, id: str, data: Json) -> bytes:
    """Return one event of the stream. What ``to_json`` gives ends with a line break, and has no other."""
    identified = f"id: {id}\n" if id else ""
    return f"event: {name}\n{identified}data: ".encode() + to_json(data) + b"\n"

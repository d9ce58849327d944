"""GET /events and GET /workloads/{id}/events."""

from __future__ import annotations

import json
from typing import Any

from attrs import frozen
from twisted.internet import reactor
from twisted.internet.task import deferLater

from dpip.api.http.limits import HttpLimits
from dpip.errors import RetryLater
from dpip.model import Eta, WorkerState
from tests.api.client import Connection, request_bytes
from tests.api.fixture import ApiTest, picture, raiser
from tests.api.test_workers import LOAD


@frozen
class Event:
    name: str
    id: str
    data: Any


class EventReader:
    """Takes the events off a connection one by one, as ``EventSource`` would; comments are kept apart."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._read = 0
        self.comments = 0

    def _body(self) -> bytes:
        """What the chunks hold."""
        rest, body = self.connection.received.partition(b"\r\n\r\n")[2], b""
        while b"\r\n" in rest:
            size, _, rest = rest.partition(b"\r\n")
            if len(rest) < int(size, 16) + 2:
                break
            body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
        return body

    def next(self) -> Event | None:
        """The next one that has arrived."""
        blocks = self._body().decode().split("\n\n")[:-1]
        for block in blocks[self._read :]:
            self._read += 1
            fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
            if "event" in fields:
                return Event(fields["event"], fields.get("id", ""), json.loads(fields["data"]))
            self.comments += "retry" not in fields
        return None


class EventsTests(ApiTest):
    timeout = 20.0

    async def follow(self, path: str, token: str, **headers: str) -> EventReader:
        connection = await self.connect()
        named = {"Authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        connection.send(request_bytes("GET", path, named))
        await connection.until(b"\r\n\r\n")
        self.assertTrue(connection.received.startswith(b"HTTP/1.1 200 "), connection.received)
        return EventReader(connection)

    async def event(self, reader: EventReader, name: str) -> Event:
        """The next one, which has this name; time passes meanwhile, up to two seconds."""
        for _ in range(200):
            event = reader.next()
            if event is not None:
                self.assertEqual(event.name, name, event)
                return event
            self.clock.advance(0.01)
            await deferLater(reactor, 0.001)
        raise self.failureException(f"no event {name} came")

    async def nothing(self, reader: EventReader) -> None:
        for _ in range(20):
            self.clock.advance(0.02)
            await deferLater(reactor, 0.001)
        self.assertEqual(reader.next(), None)

    async def settled(self, reader: EventReader) -> None:
        """What it has been told may be told once more: nobody knows what a snapshot has caught."""
        for _ in range(20):
            self.clock.advance(0.02)
            await deferLater(reactor, 0.001)
            reader.next()

    async def heartbeat(self, reader: EventReader) -> None:
        before = reader.comments
        for _ in range(200):
            self.assertIsNone(reader.next())
            if reader.comments > before:
                return
            self.clock.advance(0.5)
            await deferLater(reactor, 0.001)
        self.fail("no heartbeat came")

    async def test_the_first_event_tells_all_that_is_unfinished(self) -> None:
        workload_id = self.stored_workload(picture())
        reader = await self.follow("/events", self.user)
        snapshot = await self.event(reader, "snapshot")
        [workload] = snapshot.data["workloads"]
        self.assertEqual((workload["workload_id"], workload["accepted"]), (workload_id, 1))
        self.assertNotIn("filtered_images", workload)
        self.assertNotIn("workers", snapshot.data)
        self.assertTrue(snapshot.data["server_time"].endswith("Z"))
        self.assertTrue(snapshot.id)
        head = reader.connection.received.partition(b"\r\n\r\n")[0].lower()
        self.assertIn(b"content-type: text/event-stream", head)
        self.assertIn(b"cache-control: no-store", head)
        self.assertIn(b"retry: 2000\n", reader.connection.received)

    async def test_a_workload_on_its_way(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        workload_id = self.stored_workload()
        event = await self.event(reader, "workload")
        self.assertEqual(event.data["status"], "scheduling")
        await self.upload(workload_id)
        event = await self.event(reader, "workload")
        self.assertEqual((event.data["status"], event.data["waiting"]), ("running", 1))
        self.controller.join_worker("w")
        job = self.controller.lease("w")
        assert job is not None
        event = await self.event(reader, "workload")
        self.assertEqual((event.data["running_jobs"], event.data["waiting"]), (1, 0))
        self.controller.requeue(job.lease)
        event = await self.event_that(reader, lambda data: data["waiting"] == 1)
        await self.finish_job("w", picture())
        event = await self.event_that(reader, lambda data: data["status"] == "completed")
        self.assertEqual((event.data["filtered"], event.data["failed"]), (1, 0))
        await self.request("DELETE", f"/workloads/{workload_id}", self.user)
        event = await self.event(reader, "deleted")
        self.assertEqual(event.data, {"workload_id": workload_id})

    async def event_that(self, reader: EventReader, fits: Any) -> Event:
        for _ in range(20):
            event = await self.event(reader, "workload")
            if fits(event.data):
                return event
        raise self.failureException("no such event")

    async def test_a_failure_is_progress(self) -> None:
        self.stored_workload(picture())
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        self.controller.join_worker("w")
        job = self.controller.lease("w")
        assert job is not None
        self.controller.fail_job(job.lease, "corrupt-picture", "It is damaged.")
        event = await self.event_that(reader, lambda data: data["failed"] == 1)
        self.assertEqual(event.data["status"], "completed")

    async def test_others_hear_nothing_of_it(self) -> None:
        self.new_user("bob")
        bob = await self.follow("/events", self.token_of("bob", "password-of-bob"))
        admin = await self.follow("/events", self.admin)
        self.assertEqual((await self.event(bob, "snapshot")).data["workloads"], [])
        await self.event(admin, "snapshot")
        workload_id = self.stored_workload(picture())
        self.assertEqual((await self.event(admin, "workload")).data["owner"], "ann")
        await self.request("DELETE", f"/workloads/{workload_id}", self.user)
        await self.event(admin, "deleted")
        await self.nothing(bob)

    async def test_workers_for_admins(self) -> None:
        admin, user = await self.follow("/events", self.admin), await self.follow("/events", self.user)
        self.assertEqual((await self.event(admin, "snapshot")).data["workers"], [])
        await self.event(user, "snapshot")
        self.feed().worker_changed(WorkerState("w1", True, LOAD))
        event = await self.event(admin, "worker")
        self.assertEqual((event.data["worker"], event.data["joined"]), ("w1", True))
        self.assertEqual(event.data["load"]["running_jobs"], 2)
        self.feed().worker_changed(WorkerState("w1", False))
        event = await self.event(admin, "worker")
        self.assertEqual(event.data, {"worker": "w1", "joined": False, "load": None})
        await self.nothing(user)

    async def test_one_workload_alone(self) -> None:
        workload_id, other = self.stored_workload(picture()), self.stored_workload()
        reader = await self.follow(f"/workloads/{workload_id}/events", self.user)
        [workload] = (await self.event(reader, "snapshot")).data["workloads"]
        self.assertEqual(workload["workload_id"], workload_id)
        await self.settled(reader)
        await self.upload(other)
        await self.nothing(reader)
        await self.upload(workload_id)
        self.assertEqual((await self.event(reader, "workload")).data["accepted"], 2)

    async def test_its_events_end_when_it_is_deleted(self) -> None:
        workload_id = self.stored_workload()
        reader = await self.follow(f"/workloads/{workload_id}/events", self.user)
        await self.event(reader, "snapshot")
        await self.request("DELETE", f"/workloads/{workload_id}", self.user)
        await self.event(reader, "deleted")
        await reader.connection.until(b"\r\n0\r\n\r\n")

    async def test_of_a_workload_that_is_not_there_or_not_ones_own(self) -> None:
        self.new_user("bob")
        path = f"/workloads/{self.stored_workload()}/events"
        response = await self.get(path, self.token_of("bob", "password-of-bob"))
        self.assert_problem(response, 404, "not-found")
        self.assert_problem(await self.get("/workloads/x/events", self.user), 404, "not-found")

    async def test_going_on_after_the_last_event(self) -> None:
        workload_id = self.stored_workload()
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        first = await self.event(reader, "workload")
        reader.connection.drop()
        again = await self.follow("/events", self.user, Last_Event_ID=first.id)
        await self.nothing(again)
        again.connection.drop()
        for _ in range(3):
            await self.upload(workload_id)
        again = await self.follow("/events", self.user, Last_Event_ID=first.id)
        event = await self.event(again, "workload")
        self.assertEqual(event.data["accepted"], 3)
        again.connection.drop()
        third = await self.follow("/events", self.user, Last_Event_ID=event.id)
        await self.nothing(third)

    async def test_an_id_of_an_earlier_life_gives_a_snapshot(self) -> None:
        for id in ("earlier-7", "nonsense", "-", "\u00e9"):
            reader = await self.follow("/events", self.user, Last_Event_ID=id)
            await self.event(reader, "snapshot")

    async def test_silence_is_broken_by_comments(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        await self.heartbeat(reader)
        await self.heartbeat(reader)

    async def test_logging_out_ends_it(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        other = await self.follow("/events", self.admin)
        await self.event(other, "snapshot")
        await self.request("DELETE", "/logout", self.user)
        await reader.connection.until(b"\r\n0\r\n\r\n")
        self.stored_workload_of_admin()
        await self.event(other, "workload")

    def stored_workload_of_admin(self) -> None:
        self.user = self.admin
        self.stored_workload()

    async def test_a_removed_user_hears_nothing_more(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        await self.request("DELETE", "/users/ann", self.admin)
        await reader.connection.until(b"\r\n0\r\n\r\n")

    async def test_while_the_controller_is_away_the_stream_stays(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        updates = self.controller.updates
        self.patch(self.controller, "updates", lambda *_, **__: raiser(RetryLater("away", 2))())
        await self.heartbeat(reader)
        self.patch(self.controller, "updates", updates)
        self.stored_workload()
        for _ in range(20):
            self.clock.advance(0.25)
            await self.turn()
        await self.event(reader, "workload")

    async def test_progress_tells_when_it_will_be_done(self) -> None:
        workload_id = self.stored_workload(picture())
        self.controller.etas[workload_id] = Eta(12.34, 10.0, 20.0)
        reader = await self.follow(f"/workloads/{workload_id}/events", self.user)
        [workload] = (await self.event(reader, "snapshot")).data["workloads"]
        self.assertEqual(workload["eta_seconds"], 12.0)

    async def test_who_leaves_leaves_nothing_behind(self) -> None:
        reader = await self.follow("/events", self.user)
        await self.event(reader, "snapshot")
        reader.connection.drop()
        await self.server_side_gone()
        await self.turn()
        self.assertEqual(self.feed_waiting(), 0)

    async def test_to_ask_for_the_head_only(self) -> None:
        response = await self.request("HEAD", "/events", self.user)
        self.assertEqual((response.status, response.headers["content-type"]), (200, "text/event-stream"))

    async def test_an_old_client_is_served_without_chunks(self) -> None:
        connection = await self.connect()
        connection.send(f"GET /events HTTP/1.0\r\nAuthorization: Bearer {self.user}\r\n\r\n".encode())
        await connection.until(b'"workloads": []}\n\n')
        self.assertNotIn(b"chunked", connection.received)
        self.assertIn(b"\r\n\r\nretry: 2000\n\nevent: snapshot\nid: ", connection.received)

    def feed(self) -> Any:
        return getattr(self.controller, "real", self.controller).feed

    def feed_waiting(self) -> int:
        return len(self.feed()._waiting)


class SlowReaderTests(ApiTest):
    timeout = 20.0
    limits = HttpLimits(streams=2, stall_seconds=5.0)

    async def test_a_reader_that_takes_nothing_is_skipped_to_the_newest_and_at_last_dropped(self) -> None:
        connection = await self.connect()
        connection.send(request_bytes("GET", "/events", {"Authorization": f"Bearer {self.user}"}))
        await connection.until(b"snapshot")
        [request] = [r for r in self.requests() if r.path == b"/events"]
        request.producer.pauseProducing()
        asked = len(self.calls("updates"))
        workload_id = self.stored_workload()
        for _ in range(10):
            await self.upload(workload_id)
            self.clock.advance(0.3)
            await self.turn()
        self.assertLessEqual(len(self.calls("updates")), asked + 1)
        request.producer.resumeProducing()
        while b'"accepted": 10,' not in connection.received:
            self.clock.advance(0.01)
            await self.turn()
        self.assertLessEqual(connection.received.count(b"event: workload"), 2)
        request.producer.pauseProducing()
        self.clock.advance(5)
        await connection.closed

    async def test_one_user_may_not_have_too_many(self) -> None:
        for _ in range(2):
            connection = await self.connect()
            connection.send(request_bytes("GET", "/events", {"Authorization": f"Bearer {self.user}"}))
            await connection.until(b"snapshot")
        response = await self.get("/events", self.user)
        self.assert_problem(response, 429, "too-many-requests")
        self.assertEqual(response.headers["retry-after"], "10")
        other = await self.connect()
        other.send(request_bytes("GET", "/events", {"Authorization": f"Bearer {self.admin}"}))
        await other.until(b"snapshot")
        connection.drop()
        await self.server_side_gone_of(connection)
        again = await self.connect()
        again.send(request_bytes("GET", "/events", {"Authorization": f"Bearer {self.user}"}))
        await again.until(b"snapshot")

    async def server_side_gone_of(self, connection: Connection) -> None:
        await connection.closed
        await self._gone[1]
        await self.turn()

    def requests(self) -> list[Any]:
        """Those under way on the newest connection."""
        return list(self.channels[-1].requests)

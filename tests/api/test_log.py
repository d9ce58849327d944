"""One line for each request, under the id that its client was told."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, formatEvent, globalLogPublisher

from tests.api.client import Form
from tests.api.fixture import ApiTest, picture


class LogTests(ApiTest):
    def setUp(self) -> None:
        super().setUp()
        self.events: list[Any] = []
        globalLogPublisher.addObserver(self.events.append)
        self.addCleanup(globalLogPublisher.removeObserver, self.events.append)

    def lines(self) -> list[tuple[LogLevel, str]]:
        ours = [event for event in self.events if event.get("log_namespace") == "dpip.api"]
        return [(event["log_level"], formatEvent(event)) for event in ours]

    async def test_reading_is_quiet_and_the_rest_is_not(self) -> None:
        status = await self.get("/status", self.user)
        made = await self.request("POST", "/workloads", self.user)
        missing = await self.get("/images/nope?secret=x", self.user)
        ids = [response.headers["x-request-id"] for response in (status, made, missing)]
        self.assertEqual(
            self.lines(),
            [
                (LogLevel.debug, f"{ids[0]} GET /status 200 0.0 ms ann"),
                (LogLevel.info, f"{ids[1]} POST /workloads 201 0.0 ms ann made {made.headers['location']}"),
                (LogLevel.info, f"{ids[2]} GET /images/nope 404 0.0 ms ann"),
            ],
        )

    async def test_pictures_that_come_in_are_daily_work(self) -> None:
        form = Form().field("workload_id", self.stored_workload()).file("data", "a.png", picture())
        await self.send_multipart("POST", "/images", self.user, form)
        form = Form().field("workload_id", "nope").file("data", "a.png", picture())
        await self.send_multipart("POST", "/images", self.user, form)
        self.assertEqual([level for level, _ in self.lines()], [LogLevel.debug, LogLevel.info])

    async def test_a_quiet_site_says_what_went_wrong_or_changed_something(self) -> None:
        self.site.quiet = True
        await self.get("/status", self.user)
        self.assertEqual(self.lines(), [])
        await self.request("POST", "/workloads", self.user)
        await self.get("/images/nope", self.user)
        self.assertEqual([level for level, _ in self.lines()], [LogLevel.info, LogLevel.info])

    async def test_a_line_stays_a_line(self) -> None:
        await self.get("/" + "x" * 10_000, self.user)
        [(_, line)] = self.lines()
        self.assertLess(len(line), 300)

    async def test_refusals_are_there_too(self) -> None:
        response = await self.request("POST", "/images", None, b"x")
        self.assertEqual(
            self.lines(), [(LogLevel.info, f"{response.headers['x-request-id']} POST /images 401 0.0 ms -")]
        )

    async def test_no_line_holds_a_token_or_control_characters(self) -> None:
        connection = await self.connect()
        connection.send(b"GET /\x7f\x9b[31m HTTP/1.1\r\nHost: x\r\n\r\n")
        await connection.response()
        await self.get("/status", self.user)
        for event in self.events:
            line = formatEvent(event)
            self.assertTrue(line.isprintable(), line)
            self.assertNotIn(self.user, line)

    async def test_one_user_pushes_nothing_out_of_the_log(self) -> None:
        for _ in range(150):
            await self.get("/images/nope", self.user)
        self.assertEqual(len(self.lines()), 120)
        await self.get("/images/nope", self.admin)
        self.assertIn("admin", self.lines()[-1][1])
        self.clock.advance(60)
        await self.get("/images/nope", self.user)
        self.assertEqual(self.lines()[-2], (LogLevel.warn, "30 more lines like these, of ann"))

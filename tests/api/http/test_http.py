"""HTTP itself: routing, methods, framing, what is malformed."""

from __future__ import annotations

from hashlib import sha256

from tests.api.client import Form, request_bytes
from tests.api.fixture import ApiTest, picture
from tests.api.wire import Wire


class RoutingTests(ApiTest):
    async def test_paths_that_do_not_exist(self) -> None:
        for path in (
            "/nope",
            "/images/",
            "/images//",
            "/images/a/b",
            "/%F0%9F%98%80",
            "/login/x",
            "/a//b",
        ):
            with self.subTest(path=path):
                self.assert_problem(await self.get(path, self.user), 404, "not-found")

    async def test_methods_that_a_path_does_not_take(self) -> None:
        for method, path in (
            ("PUT", "/images"),
            ("GET", "/login"),
            ("POST", "/status"),
            ("BREW", "/filters"),
        ):
            response = await self.request(method, path, self.user)
            problem = self.assert_problem(response, 405, "method-not-allowed")
            self.assertEqual(response.headers["allow"], ", ".join(problem["allowed"]))
            self.assertNotIn(method, problem["allowed"])

    async def test_options_tells_the_methods(self) -> None:
        response = await self.request("OPTIONS", "/workloads")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertEqual(response.headers["allow"], "GET, HEAD, OPTIONS, POST")
        self.assertEqual((await self.request("OPTIONS", "*")).status, 200)

    async def test_a_path_that_is_not_utf8(self) -> None:
        self.assert_problem(await self.get("/images/%ff", self.user), 400, "malformed-request")
        response = await self.request("POST", "/%ff", self.user, b"x")
        self.assert_problem(response, 400, "malformed-request")
        self.assertEqual(self.flushLoggedErrors(), [])

    async def test_a_query_that_is_malformed(self) -> None:
        self.assert_problem(await self.get("/workloads?limit=%ff", self.user), 400, "malformed-request")
        self.assert_problem(await self.get("/workloads?" + "a&" * 200, self.user), 400, "malformed-request")

    async def test_the_form_of_proxies(self) -> None:
        self.assertEqual((await self.get("http://example.org:80/healthz")).status, 200)
        workload = self.stored_workload()
        form = Form().field("workload_id", workload).file("data", "a.png", picture())
        response = await self.send_multipart("POST", "http://example.org/images", self.user, form)
        self.assertEqual(response.status, 201)

    async def test_an_upload_by_a_disguised_path(self) -> None:
        form = Form().field("workload_id", self.stored_workload()).file("data", "a.png", picture())
        for path in ("/%69mages", "//images", "/images?x=y"):
            response = await self.send_multipart("POST", path, self.user, form)
            self.assertEqual(response.status, 201)
        self.assert_problem(await self.request("POST", "/images", self.user), 415, "unsupported-media-type")

    async def test_strange_host_headers(self) -> None:
        for host in ("\u00e9", "a" * 300, "[::1]:80", "..", "x:y", ""):
            response = await self.request("GET", "/healthz", headers={"Host": host})
            self.assertEqual(response.status, 200)

    async def test_every_answer_names_its_request(self) -> None:
        first, second = await self.get("/healthz"), await self.get("/nope")
        self.assertNotEqual(first.headers["x-request-id"], second.headers["x-request-id"])
        self.assertEqual(second.json()["request_id"], second.headers["x-request-id"])
        self.assertEqual(first.headers["cache-control"], "no-store")


class FramingTests(ApiTest):
    def wire(self) -> Wire:
        return Wire(self.site)

    def authorized(self, method: str, path: str, body: bytes | None = None, **headers: str) -> bytes:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return request_bytes(method, path, {"Authorization": f"Bearer {self.user}", **named}, body)

    def upload_form(self, shade: int = 0) -> Form:
        form = Form().file("data", f"{shade}.png", picture(shade=shade))
        return form.field("workload_id", self.stored_workload())

    def test_several_requests_at_once_are_answered_in_order(self) -> None:
        wire = self.wire()
        form = self.upload_form()
        wire.send(
            self.authorized("GET", "/healthz")
            + self.authorized("POST", "/images", form.body, Content_Type=form.content_type)
            + self.authorized("GET", "/nope")
            + self.authorized("GET", "/readyz")
        )
        self.assertEqual([wire.response().status for _ in range(4)], [200, 201, 404, 200])

    def test_any_cut_through_a_request_gives_the_same(self) -> None:
        form = self.upload_form()
        whole = self.authorized("POST", "/images", form.body, Content_Type=form.content_type)
        for step in (1, 2, 7, 64):
            wire = self.wire()
            for start in range(0, len(whole), step):
                wire.send(whole[start : start + step])
            self.assertEqual(wire.response().json()["sha256"], sha256(picture()).hexdigest())

    def test_a_chunked_upload(self) -> None:
        form = self.upload_form()
        wire = self.wire()
        wire.send(
            self.authorized("POST", "/images", Content_Type=form.content_type, Transfer_Encoding="chunked")
        )
        for start in range(0, len(form.body), 50):
            chunk = form.body[start : start + 50]
            wire.send(b"%x;ext=1\r\n%b\r\n" % (len(chunk), chunk))
        wire.send(b"0\r\nTrailer: x\r\n\r\n")
        self.assertEqual(wire.response().status, 201)
        wire.send(self.authorized("GET", "/healthz"))
        self.assertEqual(wire.response().status, 200)
        self.assertEqual(self.calls("admit_upload")[-1][-1], None)

    def test_a_chunked_upload_is_bounded_as_it_arrives(self) -> None:
        self.controller.max_upload = 5000
        form = self.upload_form()
        wire = self.wire()
        wire.send(
            self.authorized("POST", "/images", Content_Type=form.content_type, Transfer_Encoding="chunked")
        )
        wire.send(b"fffff\r\n" + form.body[:130])
        for _ in range(4):
            wire.send(b"\r\n" + b"x" * 1000)
        self.assertEqual(wire.value(), b"")
        wire.send(b"x" * 1000)
        self.assert_problem(wire.response(), 413, "too-large")
        self.assert_nothing_left()

    def test_malformed_chunks(self) -> None:
        for chunk in (
            b"xyz\r\n",
            b"-5\r\n",
            b"+5\r\nabcde\r\n",
            b"5\r\nabcdefgh\r\n",
            b"5 5\r\n",
            b"x" * 2000,
        ):
            wire = self.wire()
            form = self.upload_form()
            wire.send(
                self.authorized(
                    "POST", "/images", Content_Type=form.content_type, Transfer_Encoding="chunked"
                )
            )
            wire.send(chunk)
            self.assert_problem(wire.response(), 400, "malformed-request")
            self.assertTrue(wire.half_closed)
            self.assert_nothing_left()

    def test_malformed_requests(self) -> None:
        for raw in (
            b"\x16\x03\x01\x02\r\n\r\n",
            b"GET /healthz\r\n\r\n",
            b"GET  /healthz HTTP/1.1\r\n\r\n",
            b"GET /healthz HTTP/2.0\r\n\r\n",
            b"GET /hea\x00lthz HTTP/1.1\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nbroken\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nA : b\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nA: b\x00\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nContent-Length: +5\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
            b"GET /healthz HTTP/1.1\r\n" + b"A: b\r\n" * 200 + b"\r\n",
            b"GET /healthz HTTP/1.1\r\nA: " + b"b" * 17_000 + b"\r\n\r\n",
            b"GET /" + b"x" * 17_000 + b" HTTP/1.1\r\n\r\n",
        ):
            with self.subTest(raw=raw[:70]):
                wire = self.wire()
                wire.send(raw)
                self.assert_problem(wire.response(), 400, "malformed-request")
                self.assertEqual(wire.value(), b"")
                wire.send(b"GET /healthz HTTP/1.1\r\n\r\n")
                self.assertEqual(wire.value(), b"")

    def test_nothing_that_follows_a_malformed_line_is_taken_for_a_request(self) -> None:
        wire = self.wire()
        wire.send(b"GET /healthz HTTP/1.1\r\nbroken\r\nHost: x\r\n\r\nGET /healthz HTTP/1.1\r\n\r\n")
        self.assert_problem(wire.response(), 400, "malformed-request")
        self.assertEqual(wire.value(), b"")

    def test_an_old_client(self) -> None:
        wire = self.wire()
        wire.send(b"GET /healthz HTTP/1.0\r\n\r\n")
        self.assertIn(b'{"status": "alive"}', wire.value())
        self.assertFalse(wire.connected)

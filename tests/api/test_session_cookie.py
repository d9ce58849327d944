"""The page's session: a cookie that scripts cannot read, and that opens nothing for another site."""

from __future__ import annotations

from typing import Any

from dpip.api.http.request import Request
from tests.api.client import Form
from tests.api.fixture import ApiTest, basic, picture

PAGE = {"X-DPIP-Page": "1"}


class SessionTests(ApiTest):
    name = "dpip-session"

    def assert_rules(self, cookie: str) -> None:
        self.assertNotIn("Secure", cookie)

    async def log_in(self, **headers: str) -> Any:
        named = {**basic("ann", "password-of-ann"), **PAGE, **headers}
        return await self.request("POST", "/login", headers=named)

    async def session(self) -> dict[str, str]:
        """The header that a browser sends from then on."""
        cookie = (await self.log_in()).headers["set-cookie"]
        return {"Cookie": f"theme=dark; {cookie.partition(';')[0]}"}

    async def test_the_page_gets_a_cookie_and_no_token(self) -> None:
        response = await self.log_in()
        self.assertEqual(sorted(response.json()), ["expires_at", "user"])
        cookie = response.headers["set-cookie"]
        for rule in ("HttpOnly", "SameSite=Strict", "Path=/", "Expires=Fri, 15 Jan 2027 09:00:00 GMT"):
            self.assertIn(rule, cookie)
        self.assertTrue(cookie.startswith(f"{self.name}="), cookie)
        self.assert_rules(cookie)

    async def test_a_program_gets_a_token_and_no_cookie(self) -> None:
        response = await self.request("POST", "/login", headers=basic("ann", "password-of-ann"))
        self.assertNotIn("set-cookie", response.headers)

    async def test_a_wrong_password_opens_no_dialog_of_the_browsers(self) -> None:
        wrong = await self.request("POST", "/login", headers={**basic("ann", "wrong"), **PAGE})
        self.assert_problem(wrong, 401, "bad-credentials")
        self.assertNotIn("Basic", wrong.headers["www-authenticate"])

    async def test_with_the_pages_own_header_the_cookie_is_as_good_as_the_token(self) -> None:
        session = await self.session()
        self.assertEqual((await self.request("GET", "/status", headers=session | PAGE)).status, 200)
        made = await self.request("POST", "/workloads", headers=session | PAGE, body=b"")
        workload = made.json()["workload_id"]
        form = Form().field("workload_id", workload).file("data", "0.png", picture())
        headers = session | PAGE | {"Content-Type": form.content_type}
        self.assertEqual((await self.request("POST", "/images", body=form.body, headers=headers)).status, 201)

    async def test_without_it_the_cookie_shows_pictures_and_opens_nothing_else(self) -> None:
        session = await self.session()
        workload = self.stored_workload(picture())
        path = f"/images/0?workload_id={workload}&type=original"
        self.assertEqual((await self.request("GET", path, headers=session)).status, 200)
        for method, path, body in (
            ("GET", "/status", None),
            ("GET", f"/workloads/{workload}", None),
            ("DELETE", f"/workloads/{workload}", None),
            ("DELETE", "/logout", None),
            ("POST", "/workloads", b""),
            ("POST", "/workloads", b"filter=blur"),
            ("POST", "/images", b"x"),
        ):
            with self.subTest(method=method, path=path):
                response = await self.request(method, path, headers=session, body=body)
                self.assert_problem(response, 401, "not-logged-in")

    async def test_a_request_that_another_site_has_made_is_nobodys(self) -> None:
        session = await self.session() | PAGE
        path = f"/images/0?workload_id={self.stored_workload(picture())}&type=original"
        for site, status in (("same-origin", 200), ("none", 200), ("same-site", 401), ("cross-site", 401)):
            headers = session | {"Sec-Fetch-Site": site}
            self.assertEqual((await self.request("GET", path, headers=headers)).status, status, site)
            self.assertEqual((await self.request("GET", "/status", headers=headers)).status, status, site)

    async def test_a_token_that_is_sent_along_goes_before_the_cookie(self) -> None:
        session = await self.session() | PAGE
        status = await self.request("GET", "/status", self.admin, headers=session)
        self.assertEqual((status.json()["user"], status.json()["role"]), ("admin", "admin"))
        self.assert_problem(
            await self.request("GET", "/status", "dead", headers=session), 401, "not-logged-in"
        )

    async def test_logging_out_kills_the_token_and_removes_the_cookie(self) -> None:
        session = await self.session() | PAGE
        out = await self.request("DELETE", "/logout", headers=session)
        self.assertEqual(out.status, 200)
        self.assertTrue(out.headers["set-cookie"].startswith(f"{self.name}=;"))
        self.assertIn("Max-Age=0", out.headers["set-cookie"])
        self.assert_rules(out.headers["set-cookie"] + ";")
        self.assert_problem(await self.request("GET", "/status", headers=session), 401, "not-logged-in")

    async def test_no_other_origin_is_told_that_it_may_send_the_pages_header(self) -> None:
        headers = {
            "Origin": "http://elsewhere.example",
            "Access-Control-Request-Method": "DELETE",
            "Access-Control-Request-Headers": "x-dpip-page",
        }
        answer = await self.request("OPTIONS", "/logout", headers=headers)
        self.assertEqual([name for name in answer.headers if name.startswith("access-control")], [])


class BehindProxyTests(SessionTests):
    """The same, where TLS is the proxy's task."""

    behind_proxy = True
    name = "__Host-dpip-session"

    def assert_rules(self, cookie: str) -> None:
        """What a browser wants of a cookie with this prefix (RFC 6265bis)."""
        self.assertIn("; Secure", cookie)
        self.assertIn("; Path=/;", cookie)
        self.assertNotIn("Domain", cookie)

    async def test_a_cookie_that_a_plain_connection_has_planted_opens_nothing(self) -> None:
        planted = (await self.session())["Cookie"].replace("__Host-", "")
        for headers in ({"Cookie": planted}, {"Cookie": planted, **PAGE}):
            answer = await self.request("GET", "/events", headers=headers)
            self.assert_problem(answer, 401, "not-logged-in")
        form = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": planted, **PAGE}
        answer = await self.request("POST", "/workloads", body=b"filter=blur", headers=form)
        self.assert_problem(answer, 401, "not-logged-in")


class EncryptedTests(BehindProxyTests):
    """The same, where connections have TLS."""

    behind_proxy = False

    def setUp(self) -> None:
        super().setUp()
        self.patch(Request, "isSecure", lambda request: True)

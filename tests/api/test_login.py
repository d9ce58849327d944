"""POST /login."""

from __future__ import annotations

from dpip.testing.accounts import TOKEN_SECONDS
from tests.api.fixture import ApiTest, basic


class LoginTests(ApiTest):
    async def test_basic_credentials_give_a_token_that_works(self) -> None:
        response = await self.request("POST", "/login", headers=basic("ann", "password-of-ann"))
        self.assertEqual(response.status, 200)
        answer = response.json()
        self.assertEqual(answer["user"], "ann")
        self.assertEqual(answer["expires_at"], "2027-01-15T09:00:00.000Z")
        self.assertEqual((await self.get("/status", answer["token"])).status, 200)

    async def test_the_token_is_dead_after_its_time(self) -> None:
        response = await self.request("POST", "/login", headers=basic("ann", "password-of-ann"))
        self.now += TOKEN_SECONDS
        self.assert_problem(await self.get("/status", response.json()["token"]), 401, "not-logged-in")

    async def test_a_password_may_hold_colons_and_any_script(self) -> None:
        by = await self.controller.authenticate(self.admin)
        await self.controller.set_password(by, "ann", "p:ä:密码-long", "password-of-ann")
        response = await self.request("POST", "/login", headers=basic("ann", "p:ä:密码-long"))
        self.assertEqual(response.status, 200)

    async def test_wrong_password_and_unknown_user_look_the_same(self) -> None:
        wrong = await self.request("POST", "/login", headers=basic("ann", "wrong"))
        unknown = await self.request("POST", "/login", headers=basic("nobody", "wrong"))
        first = self.assert_problem(wrong, 401, "bad-credentials")
        second = self.assert_problem(unknown, 401, "bad-credentials")
        self.assertEqual(first["detail"], second["detail"])
        self.assertIn("Basic", wrong.headers["www-authenticate"])

    async def test_what_is_not_basic_is_refused(self) -> None:
        for header in ("Bearer x", "Basic", "Basic !!!", "Basic bm9jb2xvbg==", "Digest x", "Basic é"):
            with self.subTest(header=header):
                response = await self.request("POST", "/login", headers={"Authorization": header})
                self.assert_problem(response, 401, "bad-credentials")
        self.assert_problem(await self.request("POST", "/login"), 401, "bad-credentials")

    async def test_the_controller_hears_the_clients_address(self) -> None:
        headers = {**basic("ann", "password-of-ann"), "X-Forwarded-For": "6.6.6.6"}
        await self.request("POST", "/login", headers=headers)
        self.assertIn("127.0.0.1", self.calls("login")[-1])

    async def test_a_body_is_not_needed_and_a_long_one_is_refused_before_it_is_read(self) -> None:
        headers = {**basic("ann", "password-of-ann"), "Content-Length": str(10**9)}
        response = await self.request("POST", "/login", headers=headers)
        self.assert_problem(response, 413, "too-large")


class BehindProxyTests(ApiTest):
    behind_proxy = True

    async def test_only_the_address_that_our_own_proxy_added_counts(self) -> None:
        headers = {**basic("ann", "password-of-ann"), "X-Forwarded-For": "6.6.6.6, 192.0.2.7"}
        await self.request("POST", "/login", headers=headers)
        self.assertIn("192.0.2.7", self.calls("login")[-1])

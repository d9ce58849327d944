"""DELETE /logout."""

from __future__ import annotations

from tests.api.fixture import ApiTest


class LogoutTests(ApiTest):
    async def test_the_token_is_dead_from_then_on(self) -> None:
        response = await self.request("DELETE", "/logout", self.user)
        self.assertEqual(response.status, 200)
        self.assertIn("ann", response.json()["logout_message"])
        self.assert_problem(await self.get("/status", self.user), 401, "not-logged-in")
        self.assert_problem(await self.request("DELETE", "/logout", self.user), 401, "not-logged-in")

    async def test_other_tokens_of_the_user_live_on(self) -> None:
        other = self.token_of("ann", "password-of-ann")
        await self.request("DELETE", "/logout", self.user)
        self.assertEqual((await self.get("/status", other)).status, 200)

    async def test_without_a_token_nobody_can_log_out(self) -> None:
        response = await self.request("DELETE", "/logout")
        self.assert_problem(response, 401, "not-logged-in")
        self.assertIn("Bearer", response.headers["www-authenticate"])

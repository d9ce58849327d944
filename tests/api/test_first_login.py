"""GET /first-login: where a fresh service has left its first password."""

from __future__ import annotations

from tests.api.fixture import ApiTest


class FirstLoginTests(ApiTest):
    async def test_the_file_is_named_as_long_as_there_is_something_to_say(self) -> None:
        self.assertEqual((await self.get("/first-login")).json(), {"password_file": None})
        self.controller.first_password_at = "/var/lib/dpip/admin-password"
        answer = await self.get("/first-login")
        self.assertIn(answer.json()["password_file"], ("/var/lib/dpip/admin-password", "admin-password"))

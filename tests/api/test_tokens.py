"""Tokens with names: made, listed and revoked."""

from __future__ import annotations

from typing import Any

from tests.api.fixture import NOW, ApiTest


class TokensTests(ApiTest):
    async def made(self, token: str | None = None, **body: Any) -> Any:
        response = await self.send_json("POST", "/tokens", token or self.user, {"name": "backup", **body})
        self.assertEqual(response.status, 201, response.body)
        self.assertEqual(response.headers["location"], f"/tokens/{response.json()['token_id']}")
        return response.json()

    async def names(self, token: str, query: str = "") -> list[tuple[str, str | None]]:
        response = await self.get(f"/tokens{query}", token)
        self.assertEqual(response.status, 200, response.body)
        return [(one["user"], one["name"]) for one in response.json()]

    async def test_a_token_works_until_it_is_revoked(self) -> None:
        made = await self.made()
        self.assertEqual((made["user"], made["name"]), ("ann", "backup"))
        self.assertEqual((await self.get("/status", made["token"])).json()["user"], "ann")
        gone = await self.request("DELETE", f"/tokens/{made['token_id']}", self.user)
        self.assertEqual((gone.status, gone.json()["revoked"]), (200, True))
        self.assert_problem(await self.get("/status", made["token"]), 401, "not-logged-in")
        again = await self.request("DELETE", f"/tokens/{made['token_id']}", self.user)
        self.assert_problem(again, 404, "not-found")

    async def test_it_expires(self) -> None:
        made = await self.made(days=2)
        self.now = NOW + 2 * 86400 - 1
        self.assertEqual((await self.get("/status", made["token"])).status, 200)
        self.now += 12  # an API process may believe it for 10 s
        self.assert_problem(await self.get("/status", made["token"]), 401, "not-logged-in")

    async def test_the_list_has_no_secret_and_names_come_first(self) -> None:
        made = await self.made()
        self.now += 1
        self.token_of("ann", "password-of-ann")
        response = await self.get("/tokens", self.user)
        self.assertNotIn(made["token"].encode(), response.body)
        self.assertEqual(response.json()[0]["token_id"], made["token_id"])
        self.assertEqual(await self.names(self.user), [("ann", "backup"), ("ann", None), ("ann", None)])
        self.assertEqual(await self.names(self.user, "?limit=1"), [("ann", "backup")])

    async def test_others_are_for_an_admin_alone(self) -> None:
        mine = await self.made()
        admins = await self.made(self.admin, name="cron")
        self.assertEqual({user for user, _ in await self.names(self.user)}, {"ann"})
        self.assertIn(("admin", "cron"), await self.names(self.admin))
        self.assertIn(("ann", "backup"), await self.names(self.admin))
        self.assertEqual({user for user, _ in await self.names(self.admin, "?user=ann")}, {"ann"})
        self.assert_problem(await self.get("/tokens?user=admin", self.user), 403, "forbidden")
        hers = await self.request("DELETE", f"/tokens/{admins['token_id']}", self.user)
        self.assert_problem(hers, 404, "not-found")
        self.assertEqual(
            (await self.request("DELETE", f"/tokens/{mine['token_id']}", self.admin)).status, 200
        )
        self.assert_problem(await self.get("/status", mine["token"]), 401, "not-logged-in")

    async def test_an_admin_makes_one_for_another_and_nobody_else_does(self) -> None:
        made = await self.made(self.admin, user="ann")
        self.assertEqual((await self.get("/status", made["token"])).json()["user"], "ann")
        response = await self.send_json("POST", "/tokens", self.user, {"name": "x", "user": "admin"})
        self.assert_problem(response, 403, "forbidden")
        response = await self.send_json("POST", "/tokens", self.admin, {"name": "x", "user": "nobody"})
        self.assert_problem(response, 404, "not-found")

    async def test_a_new_password_ends_them(self) -> None:
        made = await self.made()
        asked = {"password": "another-password", "old_password": "password-of-ann"}
        await self.send_json("PUT", "/users/ann/password", self.user, asked)
        self.assert_problem(await self.get("/status", made["token"]), 401, "not-logged-in")

    async def test_what_makes_no_sense_is_refused(self) -> None:
        for body in (
            {},
            {"name": " "},
            {"name": "x" * 65},
            {"name": "x", "days": 0},
            {"name": "x", "hours": 1},
        ):
            with self.subTest(body=body):
                response = await self.send_json("POST", "/tokens", self.user, body)
                self.assert_problem(response, 422, "bad-parameter")
        for token_id in ("nothing", "00", "00" * 8):
            response = await self.request("DELETE", f"/tokens/{token_id}", self.user)
            self.assert_problem(response, 404, "not-found")

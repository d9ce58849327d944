"""GET and POST /users, DELETE /users/{name}, PUT /users/{name}/password."""

from __future__ import annotations

from tests.api.fixture import ApiTest, basic


class UsersTests(ApiTest):
    async def test_an_admin_adds_a_user_who_can_log_in(self) -> None:
        asked = {"user": "bob", "password": "a-long-password", "quota": 1000}
        response = await self.send_json("POST", "/users", self.admin, asked)
        self.assertEqual(response.status, 201)
        self.assertEqual(response.headers["location"], "/users/bob")
        made = response.json()
        self.assertEqual((made["user"], made["role"], made["quota"], made["used"]), ("bob", "user", 1000, 0))
        self.assertNotIn("password", made)
        login = await self.request("POST", "/login", headers=basic("bob", "a-long-password"))
        self.assertEqual(login.status, 200)

    async def test_a_form_does_as_well(self) -> None:
        fields = {"user": "bob", "password": "a-long-password", "role": "admin", "quota": "5"}
        response = await self.send_form("POST", "/users", self.admin, fields)
        self.assertEqual((response.status, response.json()["role"]), (201, "admin"))

    async def test_what_is_not_acceptable(self) -> None:
        good = {"user": "bob", "password": "a-long-password"}
        for wrong in (
            {"user": None},
            {"user": ""},
            {"password": None},
            {"password": 12345678},
            {"password": "short"},
            {"role": "king"},
            {"role": "worker"},
            {"quota": -1},
            {"quota": "much"},
            {"quota": True},
            {"colour": "red"},
        ):
            with self.subTest(wrong=wrong):
                response = await self.send_json("POST", "/users", self.admin, {**good, **wrong})
                self.assert_problem(response, 422, "bad-parameter")
        self.assert_problem(
            await self.send_json("POST", "/users", self.admin, {**good, "user": "ann"}), 409, "conflict"
        )

    async def test_the_list_is_by_name(self) -> None:
        answer = (await self.get("/users", self.admin)).json()
        self.assertEqual([user["user"] for user in answer], ["admin", "ann"])
        self.assertEqual(answer[0]["created_at"], "2027-01-15T08:00:00.000Z")

    async def test_a_removed_user_is_out_at_once_with_all_workloads(self) -> None:
        workload = await self.new_workload()
        response = await self.request("DELETE", "/users/ann", self.admin)
        self.assertEqual((response.status, response.json()["deleted"]), (200, True))
        self.assert_problem(await self.get("/status", self.user), 401, "not-logged-in")
        self.assert_problem(await self.get(f"/workloads/{workload}", self.admin), 404, "not-found")
        self.assert_problem(await self.request("DELETE", "/users/ann", self.admin), 404, "not-found")

    async def test_the_last_admin_stays(self) -> None:
        self.assert_problem(await self.request("DELETE", "/users/admin", self.admin), 409, "conflict")

    async def test_names_with_slashes_and_other_scripts(self) -> None:
        for name in ("a/b", "зоя", "x y"):
            await self.send_json("POST", "/users", self.admin, {"user": name, "password": "a-long-password"})
        for path in ("a%2Fb", "%D0%B7%D0%BE%D1%8F", "x%20y"):
            response = await self.request("DELETE", f"/users/{path}", self.admin)
            self.assertEqual(response.status, 200, response.body)

    async def test_everyone_changes_their_own_password_and_is_logged_out(self) -> None:
        asked = {"password": "another-password", "old_password": "password-of-ann"}
        response = await self.send_json("PUT", "/users/ann/password", self.user, asked)
        self.assertEqual(response.status, 200)
        self.assert_problem(await self.get("/status", self.user), 401, "not-logged-in")
        login = await self.request("POST", "/login", headers=basic("ann", "another-password"))
        self.assertEqual(login.status, 200)

    async def test_a_token_alone_does_not_change_its_users_password(self) -> None:
        for name, token in (("ann", self.user), ("admin", self.admin)):
            path, asked = f"/users/{name}/password", {"password": "another-password"}
            self.assert_problem(await self.send_json("PUT", path, token, asked), 422, "bad-parameter")
            wrong = {**asked, "old_password": "a guess of it"}
            self.assert_problem(await self.send_json("PUT", path, token, wrong), 403, "forbidden")
            self.assertEqual((await self.get("/status", token)).status, 200)

    async def test_only_an_admin_changes_anothers(self) -> None:
        asked = {"password": "another-password"}
        response = await self.send_json("PUT", "/users/admin/password", self.user, asked)
        self.assert_problem(response, 403, "forbidden")
        response = await self.send_json("PUT", "/users/ann/password", self.admin, asked)
        self.assertEqual(response.status, 200)
        response = await self.send_json("PUT", "/users/nobody/password", self.admin, asked)
        self.assert_problem(response, 404, "not-found")
        response = await self.send_json("PUT", "/users/ann/password", self.admin, {})
        self.assert_problem(response, 422, "bad-parameter")

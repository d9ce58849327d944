"""GET /status."""

from __future__ import annotations

from tests.api.fixture import ApiTest, picture


class StatusTests(ApiTest):
    async def test_says_who_and_when(self) -> None:
        response = await self.get("/status", self.user)
        self.assertEqual(response.status, 200)
        answer = response.json()
        self.assertEqual(answer["system_name"], "DPIP")
        self.assertEqual(answer["server_time"], "2027-01-15T08:00:00.000Z")
        self.assertEqual(answer["active_workloads"], [])

    async def test_lists_the_callers_own_until_they_are_completed(self) -> None:
        workload = await self.new_workload(workload_name="mine")
        await self.new_workload(self.admin)
        await self.upload(workload)
        [active] = (await self.get("/status", self.user)).json()["active_workloads"]
        self.assertEqual(active["workload_id"], workload)
        self.assertEqual(active["workload_name"], "mine")
        self.assertEqual(active["status"], "running")
        await self.finish_job("w", picture())
        self.assertEqual((await self.get("/status", self.user)).json()["active_workloads"], [])

    async def test_an_admin_sees_everybodys_and_what_to_look_after(self) -> None:
        self.controller.operator_warnings.append("The disk runs low.")
        mine, theirs = await self.new_workload(self.admin), await self.new_workload()
        answer = (await self.get("/status", self.admin)).json()
        self.assertEqual({w["workload_id"] for w in answer["active_workloads"]}, {mine, theirs})
        self.assertEqual(answer["warnings"], ["The disk runs low."])
        self.assertNotIn("warnings", (await self.get("/status", self.user)).json())

    async def test_needs_a_living_token_of_a_user(self) -> None:
        self.assert_problem(await self.get("/status"), 401, "not-logged-in")
        self.assert_problem(await self.get("/status", "stolen"), 401, "not-logged-in")
        worker = self.controller.join_worker("w")
        self.assert_problem(await self.get("/status", worker), 403, "forbidden")

    async def test_a_token_of_strange_bytes_is_refused_like_any_other(self) -> None:
        connection = await self.connect()
        connection.send(b"GET /status HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer \xff\xfe\r\n\r\n")
        self.assert_problem(await connection.response(), 401, "not-logged-in")

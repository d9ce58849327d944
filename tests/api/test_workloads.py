"""GET /workloads."""

from __future__ import annotations

from tests.api.fixture import ApiTest


class WorkloadsTests(ApiTest):
    async def pages(self, path: str, token: str) -> list[list[str]]:
        """Ids page by page, following the links."""
        found = []
        while path:
            response = await self.get(path, token)
            self.assertEqual(response.status, 200, response.body)
            found.append([workload["workload_id"] for workload in response.json()])
            link = response.headers.get("link", "")
            path = link[1 : link.index(">")] if 'rel="next"' in link else ""
        return found

    async def test_ones_own_newest_first_in_pages(self) -> None:
        mine = [await self.new_workload() for _ in range(5)]
        await self.new_workload(self.admin)
        newest = mine[::-1]
        self.assertEqual(await self.pages("/workloads", self.user), [newest])
        self.assertEqual(
            await self.pages("/workloads?limit=2", self.user), [newest[:2], newest[2:4], newest[4:]]
        )
        self.assertEqual(await self.pages("/workloads?limit=5", self.user), [newest])

    async def test_a_page_that_is_cut_because_it_is_long_says_that_there_is_more(self) -> None:
        newest = [await self.new_workload() for _ in range(5)][::-1]
        found = self.controller.workloads
        self.patch(self.controller, "workloads", lambda *asked: found(*asked[:3], min(asked[3], 2)))
        self.assertEqual(
            await self.pages("/workloads?limit=4", self.user), [newest[:2], newest[2:4], newest[4:]]
        )

    async def test_an_admin_sees_all_with_their_owners(self) -> None:
        await self.new_workload()
        await self.new_workload(self.admin)
        owners = [workload["owner"] for workload in (await self.get("/workloads", self.admin)).json()]
        self.assertEqual(owners, ["admin", "ann"])

    async def test_by_status_and_name_in_pages(self) -> None:
        films = [await self.new_workload(workload_name=f"Film {n}") for n in range(3)]
        photos = await self.new_workload(workload_name="photos")
        for sealed in (*films, photos):
            await self.request("POST", f"/workloads/{sealed}/seal", self.user)
        waiting = await self.new_workload(workload_name="film 4")
        newest = films[::-1]
        self.assertEqual(
            await self.pages("/workloads?status=completed&name=film&limit=2", self.user),
            [newest[:2], newest[2:]],
        )
        self.assertEqual(await self.pages("/workloads?status=running,scheduling", self.user), [[waiting]])
        self.assertEqual(await self.pages("/workloads?status=running", self.user), [[]])
        self.assertEqual(await self.pages("/workloads?name=photos", self.user), [[photos]])
        for query in ("status=done", "state=completed", "name=a&name=b"):
            response = await self.get(f"/workloads?{query}", self.user)
            self.assert_problem(response, 422, "bad-parameter")

    async def test_impossible_limits(self) -> None:
        for limit in ("0", "-1", "1001", "many", "1.5", "9" * 30):
            response = await self.get(f"/workloads?limit={limit}", self.user)
            self.assert_problem(response, 422, "bad-parameter")

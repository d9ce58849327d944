"""GET /images."""

from __future__ import annotations

from tests.api.fixture import ApiTest, picture


class ImagesTests(ApiTest):
    async def test_pages_of_originals_and_results(self) -> None:
        workload = await self.new_workload()
        originals = [
            (await self.upload(workload, picture(shade=n), f"{n}.png")).json()["image_id"] for n in range(5)
        ]
        results = [await self.finish_job("w", picture()) for _ in range(3)]
        path = f"/images?workload_id={workload}"
        self.assertEqual(await self.pages(path), [results])
        self.assertEqual(await self.pages(path + "&type=filtered&limit=2"), [results[:2], results[2:]])
        self.assertEqual(await self.pages(path + "&type=original&limit=5"), [originals])
        self.assertEqual(await self.pages(path + "&type=original&after=2"), [originals[3:]])

    async def pages(self, path: str) -> list[list[str]]:
        found = []
        while path:
            response = await self.get(path, self.user)
            self.assertEqual(response.status, 200, response.body)
            found.append([image["image_id"] for image in response.json()])
            link = response.headers.get("link", "")
            path = link[1 : link.index(">")] if link else ""
        return found

    async def test_what_is_said_of_each(self) -> None:
        workload = await self.new_workload()
        await self.upload(workload, name="a.png")
        [image] = (await self.get(f"/images?workload_id={workload}&type=original", self.user)).json()
        self.assertEqual((image["workload_id"], image["type"], image["seq"]), (workload, "original", 0))
        self.assertEqual((image["name"], image["size"]), ("a.png", len(picture())))
        self.assertEqual((image["width"], image["height"], image["format"]), (4, 3, "PNG"))
        self.assertEqual(image["created_at"], "2027-01-15T08:00:00.000Z")

    async def test_what_is_wrong_with_a_question(self) -> None:
        workload = await self.new_workload()
        self.assert_problem(await self.get("/images", self.user), 422, "bad-parameter")
        for bad in ("type=x", "after=x", "after=-2", "limit=0", "limit=2000"):
            response = await self.get(f"/images?workload_id={workload}&{bad}", self.user)
            self.assert_problem(response, 422, "bad-parameter")
        theirs = await self.new_workload(self.admin)
        self.assert_problem(await self.get(f"/images?workload_id={theirs}", self.user), 404, "not-found")
        worker = self.controller.join_worker("w")
        self.assert_problem(await self.get(f"/images?workload_id={workload}", worker), 403, "forbidden")

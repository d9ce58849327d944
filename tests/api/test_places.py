"""GET /workloads/{id}/places, and images at places."""

from __future__ import annotations

from tests.api.fixture import ApiTest, picture


class PlacesOfImagesTests(ApiTest):
    async def test_found_by_name_sorted_and_shown(self) -> None:
        workload_id = await self.new_workload()
        for name in ("b.png", "a.png", "c/b.png"):
            await self.upload(workload_id, picture(), name)
        path = f"/workloads/{workload_id}/places"
        for query, places in (
            ("", [0, 1, 2]),
            ("?sort=-seq", [2, 1, 0]),
            ("?sort=name", [1, 0, 2]),
            ("?name=B.PNG", [0, 2]),
            ("?failed=true", []),
        ):
            answer = await self.get(path + query, self.user)
            self.assertEqual(answer.json(), {"workload_id": workload_id, "places": places}, query)
        images = f"/images?workload_id={workload_id}&type=original&seqs"
        for seqs, names in (("2,0", ["b.png", "c/b.png"]), ("0-1", ["b.png", "a.png"]), ("7", [])):
            shown = (await self.get(f"{images}={seqs}", self.user)).json()
            self.assertEqual([one["name"] for one in shown], names)

    async def test_what_is_refused(self) -> None:
        workload_id = await self.new_workload()
        self.new_user("bob")
        bob = self.token_of("bob", "password-of-bob")
        path = f"/workloads/{workload_id}/places"
        self.assert_problem(await self.get(path, bob), 404, "not-found")
        for query in ("?sort=colour", "?failed=perhaps", "?other=1"):
            self.assert_problem(await self.get(path + query, self.user), 422, "bad-parameter")
        images = f"/images?workload_id={workload_id}&type=original&seqs"
        for seqs in ("x", "3-1", "0-1000", "-1", "1-2-3", "9" * 30):
            self.assert_problem(await self.get(f"{images}={seqs}", self.user), 422, "bad-parameter")

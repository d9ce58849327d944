"""Presets: filters and output under a name, by user."""

from __future__ import annotations

from typing import Any

from tests.api.client import Response
from tests.api.fixture import ApiTest

WEB: dict[str, Any] = {
    "steps": [{"name": "grayscale"}, {"name": "blur", "sigma": 3}],
    "output": {"format": "jpeg", "quality": 82},
    "tags": ["fast"],
}


class PresetsTests(ApiTest):
    async def save(self, name: str = "web", token: str | None = None, **body: Any) -> Response:
        asked = {**WEB, **body}
        response: Response = await self.send_json("PUT", f"/presets/{name}", token or self.user, asked)
        return response

    async def create(self, **body: Any) -> Response:
        response: Response = await self.send_json("POST", "/workloads", self.user, body)
        return response

    async def test_a_preset_is_saved_shown_listed_and_deleted(self) -> None:
        saved = await self.save("day%201%2Fweb")
        self.assertEqual((saved.status, saved.headers["location"]), (201, "/presets/day%201/web"))
        shown = (await self.get(saved.headers["location"], self.user)).json()
        self.assertEqual(shown, saved.json())
        self.assertEqual((shown["preset"], shown["filter"]), ("day 1/web", "grayscale+blur"))
        self.assertEqual((shown["steps"][1], shown["tags"]), ({"name": "blur", "sigma": 3.0}, ["fast"]))
        self.assertEqual((shown["output"]["format"], shown["output"]["quality"]), ("JPEG", 82))
        self.assertEqual((await self.get("/presets", self.user)).json(), [shown])
        gone = await self.request("DELETE", "/presets/day%201%2Fweb", self.user)
        self.assertEqual(gone.json(), {"preset": "day 1/web", "deleted": True})
        self.assertEqual((await self.get("/presets", self.user)).json(), [])

    async def test_a_name_that_is_taken_needs_force(self) -> None:
        await self.save()
        self.assert_problem(await self.save(tags=[]), 409, "conflict")
        self.assertEqual((await self.save(tags=[], force=True)).json()["tags"], [])
        self.assertEqual(len((await self.get("/presets", self.user)).json()), 1)

    async def test_each_user_has_its_own(self) -> None:
        await self.save()
        self.assertEqual((await self.get("/presets", self.admin)).json(), [])
        self.assert_problem(await self.get("/presets/web", self.admin), 404, "not-found")
        self.assert_problem(await self.request("DELETE", "/presets/web", self.admin), 404, "not-found")
        self.assertEqual((await self.save(token=self.admin)).status, 201)

    async def test_what_is_wrong_is_refused_at_once(self) -> None:
        for name, body in (
            ("x" * 65, {}),
            ("%20web", {}),
            ("web", {"steps": [{"name": "nothing"}]}),
            ("web", {"steps": [{"name": "blur", "sigma": -1}]}),
            ("web", {"output": {"format": "exe"}}),
            ("web", {"workload_name": "holiday"}),
            ("web", {"force": "perhaps"}),
        ):
            self.assertEqual((await self.save(name, **body)).status, 422, (name, body))
        self.assertEqual((await self.get("/presets", self.user)).json(), [])

    async def test_a_workload_of_a_preset(self) -> None:
        await self.save()
        made = (await self.create(preset="web", workload_name="holiday", output={"quality": 60})).json()
        self.assertEqual((made["workload_name"], made["filter"]), ("holiday", "grayscale+blur"))
        self.assertEqual((made["tags"], made["steps"][1]["sigma"]), (["fast"], 3.0))
        self.assertEqual((made["output"]["format"], made["output"]["quality"]), ("JPEG", 60))
        form = await self.send_form("POST", "/workloads", self.user, {"preset": "web", "tags": ""})
        self.assertEqual((form.status, form.json()["tags"]), (201, []))

    async def test_a_preset_that_is_not_there_and_filters_beside_one_are_refused(self) -> None:
        await self.save()
        problem = self.assert_problem(await self.create(preset="print"), 422, "bad-parameter")
        self.assertIn("There is no preset 'print'", problem["detail"])
        self.assert_problem(await self.create(preset="web", filter="blur"), 422, "bad-parameter")
        self.assert_problem(await self.create(preset="web", steps=WEB["steps"]), 422, "bad-parameter")

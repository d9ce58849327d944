"""GET /activity."""

from __future__ import annotations

from dpip.model import Activity
from tests.api.fixture import NOW, ApiTest


class ActivityTests(ApiTest):
    async def test_newest_first_in_pages(self) -> None:
        for number in range(1, 6):
            self.controller.activities.append(
                Activity(NOW, "ann", "login", f"s{number}", {"address": "1.2.3.4"})
            )
        first = await self.get("/activity?limit=2", self.admin)
        self.assertEqual([entry["subject"] for entry in first.json()], ["s5", "s4"])
        self.assertEqual(first.headers["link"], '</activity?before=4&limit=2>; rel="next"')
        self.assertEqual(
            first.json()[0],
            {
                "number": 5,
                "at": "2027-01-15T08:00:00.000Z",
                "actor": "ann",
                "action": "login",
                "subject": "s5",
                "detail": {"address": "1.2.3.4"},
            },
        )
        last = await self.get("/activity?before=4", self.admin)
        self.assertEqual([entry["number"] for entry in last.json()], [3, 2, 1])
        self.assertNotIn("link", last.headers)

    async def test_times_within_the_detail_are_shown_like_all_others(self) -> None:
        self.controller.activities.append(Activity(NOW, "root", "rotate-join-token", "", {"expires_at": NOW}))
        (entry,) = (await self.get("/activity", self.admin)).json()
        self.assertEqual(entry["detail"], {"expires_at": "2027-01-15T08:00:00.000Z"})

    async def test_for_admins(self) -> None:
        self.assert_problem(await self.get("/activity", self.user), 403, "forbidden")
        self.assert_problem(await self.get("/activity?before=x", self.admin), 422, "bad-parameter")

"""A gallery of very many images; the API's answers are made up for it."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.frames import encoded
from tests.page.support import PageTest

COUNT = 10_000
WORKLOAD = "01m820w3ca91txf14esfe8c82e"


class ManyTests(PageTest):
    def test_ten_thousand_images_are_a_few_elements_wherever_one_looks(self) -> None:
        page = self.page
        page.route(f"**/workloads/{WORKLOAD}**", lambda route: route.fulfill(json=self._workload()))
        page.route("**/images?**", lambda route: route.fulfill(json=self._images(route.request.url)))
        picture = encoded(1, 64, 48)
        page.route("**/images/*", lambda route: route.fulfill(body=picture, content_type="image/png"))
        page.route("**/images/*/**", lambda route: route.fulfill(body=picture, content_type="image/png"))
        self.log_in()
        page.get_by_role("heading", name="Nothing to see yet").wait_for()
        page.goto(f"{self.url}#/workloads/{WORKLOAD}")
        page.get_by_role("button", name="0.png", exact=True).wait_for()
        self.assertLess(page.locator(".cell").count(), 100)
        page.get_by_role("button", name="0.png", exact=True).focus()
        page.keyboard.press("End")
        page.get_by_role("button", name="9999.png", exact=True).wait_for()
        page.locator(".cell:focus").get_by_text("9999.png").wait_for()
        self.assertLess(page.locator(".cell").count(), 100)

    def _workload(self) -> dict[str, Any]:
        return {
            "workload_id": WORKLOAD,
            "workload_name": "many",
            "owner": "admin",
            "status": "completed",
            "steps": [{"name": "grayscale"}],
            "accepted": COUNT,
            "filtered": COUNT,
            "failed": 0,
            "size": 1,
            "running_jobs": 0,
            "waiting": 0,
            "created_at": "2026-01-01T00:00:00Z",
            "finished_at": "2026-01-01T00:10:00Z",
            "eta_seconds": None,
        }

    def _images(self, url: str) -> list[dict[str, Any]]:
        asked = {name: values[0] for name, values in parse_qs(urlsplit(url).query).items()}
        first = int(asked["after"]) + 1
        return [
            {"image_id": f"{asked['type']}{seq}", "seq": seq, "name": f"{seq}.png", "size": 1}
            for seq in range(first, min(COUNT, first + int(asked["limit"])))
        ]

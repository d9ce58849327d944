"""GET /filters."""

from __future__ import annotations

from dpip.filters import registry
from tests.api.fixture import ApiTest


class FiltersTests(ApiTest):
    async def test_every_filter_with_its_parameters(self) -> None:
        response = await self.get("/filters", self.user)
        self.assertEqual(response.status, 200)
        self.assertEqual([described["name"] for described in response.json()], registry.names())
        self.assertEqual(response.json(), registry.describe())

    async def test_needs_a_token(self) -> None:
        self.assert_problem(await self.get("/filters"), 401, "not-logged-in")

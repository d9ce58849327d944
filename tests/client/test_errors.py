"""Problems become exceptions whose words help."""

from __future__ import annotations

from dpip.client import ApiError
from tests.client.server import StandInTestCase, answer, problem


class ApiErrorTests(StandInTestCase):
    async def test_every_part_of_a_problem_is_there(self) -> None:
        self.say(problem(422, "unknown-filter", "There is no filter named 'blurr'."))
        error = await self.refusal(ApiError, self.client.create_workload(filter="blurr"))
        self.assertEqual(str(error), "There is no filter named 'blurr'.")
        self.assertEqual((error.status, error.code, error.title), (422, "unknown-filter", "A title"))
        self.assertEqual((error.request_id, error.retry_after, error.attempts), ("r-1", None, 1))
        self.assertEqual(error.members, {"available": ["blur"]})

    async def test_a_fault_of_the_server_names_the_request(self) -> None:
        self.say(problem(500, "internal-error", "It broke."))
        error = await self.refusal(ApiError, self.client.status())
        self.assertEqual(str(error), "It broke. (request r-1 in the server's log)")

    async def test_a_proxys_page_is_not_shown(self) -> None:
        self.say(answer(body=b"<html>" + b"x" * 9000, status=502, headers={"X-Request-Id": "r-7"}))
        error = await self.refusal(ApiError, self.client.status())
        self.assertEqual(str(error), "The server answered 502 Bad Gateway. (request r-7 in the server's log)")
        self.assertEqual(error.code, "")

"""GET /healthz and /readyz."""

from __future__ import annotations

from twisted.internet.defer import Deferred, fail

from tests.api.fixture import ApiTest


class ProbeTests(ApiTest):
    async def test_alive_and_ready_without_a_token(self) -> None:
        self.assertEqual((await self.get("/healthz")).json(), {"status": "alive"})
        self.assertEqual((await self.get("/readyz")).json(), {"status": "ready"})

    async def test_not_ready_while_the_controller_does_not_answer(self) -> None:
        held = self.controller.hold("authenticate")
        asking = Deferred.fromCoroutine(self.get("/readyz"))
        await self.reached(held)
        self.clock.advance(2)
        response = await asking
        self.assert_problem(response, 503, "busy")
        self.assertEqual(response.headers["retry-after"], "5")
        self.assertEqual(len(self.flushLoggedErrors()), 1)

    async def test_not_ready_when_the_controller_is_broken(self) -> None:
        self.controller.authenticate = lambda _secret: fail(OSError("database"))
        self.assert_problem(await self.get("/readyz"), 503, "busy")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

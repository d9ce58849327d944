"""What is said of workers."""

from __future__ import annotations

from datetime import UTC, datetime

from twisted.trial.unittest import SynchronousTestCase

from dpip.command.workers import state_of

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)


class WorkersStateTests(SynchronousTestCase):
    def test_why_a_worker_is_not_here(self) -> None:
        before, after = "2026-11-23T11:59:59.000Z", "2026-11-23T12:00:01.000Z"
        for joined, revoked, suspended, state in (
            (True, None, before, "joined"),
            (False, before, after, "revoked"),
            (False, None, after, "suspended"),
            (False, None, before, "Away for 16 min"),
            (False, None, None, "Away for 16 min"),
        ):
            facts = {"joined": joined, "revoked_at": revoked, "suspended_until": suspended}
            facts["last_seen"] = "2026-11-23T11:44:00.000Z"
            self.assertEqual(state_of(facts, NOW), state)

"""Failed logins are limited per key, for a while, in bounded memory."""

from twisted.trial.unittest import TestCase

from dpip.controller.login_limits import FailureLimit
from dpip.errors import TooManyRequests


class FailureLimitTests(TestCase):
    def test_after_the_limit_it_says_how_long_to_wait(self) -> None:
        limit = FailureLimit(limit=3, window=60)
        for at in (0.0, 10.0, 20.0):
            limit.check("ann", at)
            limit.happened("ann", at)
        refused = self.assertRaises(TooManyRequests, limit.check, "ann", 30.0)
        self.assertEqual(refused.retry_after, 30)
        limit.check("bob", 30.0)

    def test_failures_are_forgotten_when_the_window_has_passed(self) -> None:
        limit = FailureLimit(limit=1, window=60)
        limit.happened("ann", 0.0)
        self.assertRaises(TooManyRequests, limit.check, "ann", 59.0)
        limit.check("ann", 60.0)

    def test_a_success_clears_the_account(self) -> None:
        limit = FailureLimit(limit=1, window=60)
        limit.happened("ann", 0.0)
        limit.succeeded("ann")
        limit.check("ann", 1.0)

    def test_no_more_keys_are_remembered_than_allowed(self) -> None:
        limit = FailureLimit(limit=1, window=60, keys=2)
        for key in ("one", "two", "three"):
            limit.happened(key, 0.0)
        limit.check("one", 1.0)
        self.assertRaises(TooManyRequests, limit.check, "three", 1.0)

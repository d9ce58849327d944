"""The tests of leading can see: each of these planted bugs makes one of them fail."""

from __future__ import annotations

import os
import re
import unittest
from collections.abc import Callable
from unittest import SkipTest, defaultTestLoader

from twisted.trial.unittest import SynchronousTestCase

from tests.datastore import postgres_server, test_leadership
from tests.simulation.planted import Bug, changed

_PLACE = "dpip.datastore.leadership:"
_BUGS = {
    "the lock is on another session than the writer's": Bug(
        _PLACE + "Leadership.acquire", "= self._candidate.execute(", "= connect().execute("
    ),
    "whoever stands by leads": Bug(_PLACE + "Leadership.acquire", "return bool(held)", "return True"),
    "signs of life are timed by the wall clock": Bug(
        _PLACE + "boottime", "time.clock_gettime(time.CLOCK_BOOTTIME)", "time.time()"
    ),
    "no sign of life is waited for": Bug(_PLACE + "Leadership.check", "> HOLD_SECONDS", "> 1e9"),
    "a lost session is answered for": Bug(_PLACE + "OneSession.dispose", "self._leadership.lost()", "False"),
    "a second session may write": Bug(
        _PLACE + "Leadership.session_once", "self._given or self._session is None", "False"
    ),
    "secrets that are gone stay": Bug(
        "dpip.datastore.shared_secrets:keep", "delete(secrets)", "delete(secrets).where(secrets.c.name == '')"
    ),
}


class PlantedTermTests(SynchronousTestCase):
    def setUp(self) -> None:
        if why := postgres_server.why_not():
            raise SkipTest(why)
        if "DPIP_CHAOS" not in os.environ:
            raise SkipTest("DPIP_CHAOS=1 runs it")


def _test(bug: Bug) -> Callable[[PlantedTermTests], None]:
    def test(self: PlantedTermTests) -> None:
        result = unittest.TestResult()
        with changed(bug):
            defaultTestLoader.loadTestsFromTestCase(test_leadership.LeadershipTests).run(result)
        self.flushLoggedErrors()
        self.assertFalse(result.wasSuccessful(), "Nobody sees it.")

    return test


for _name, _bug in _BUGS.items():
    setattr(PlantedTermTests, "test_" + re.sub(r"\W+", "_", _name), _test(_bug))

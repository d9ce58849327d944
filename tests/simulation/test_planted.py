"""The simulation can see: each planted bug is found again by the seed that found it before.

The most telling ones here; all of them with ``DPIP_CHAOS=1`` in the environment, as in ``tox -e chaos``.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.planted import BUGS
from tests.simulation.recorded import RECORDED
from tests.simulation.search import first_seen

_NEAR = 20
"""After a change of the product a recorded seed may tell another story: so many others may see it instead."""
_TELLING = (
    "results of a batch are shifted by one",
    "the commit window never closes",
    "a batch waits for ever",
    "file not fsynced",
    "name not fsynced",
    "commits not fsynced",
    "answered before the commit",
    "failed commits are good commits",
    "lease not persisted",
    "release not persisted",
    "slot not freed",
    "jobs that waited before the start are lost",
    "keys are not looked up",
    "room stays reserved",
    "everybody's is everybody's",
    "logged out, and still in",
    "the heartbeat goes on",
    "used bytes are not given back",
)


class PlantedTests(SynchronousTestCase):
    def test_every_bug_has_its_seed(self) -> None:
        self.assertEqual(sorted(RECORDED), sorted(BUGS))


def _test(name: str) -> Callable[[PlantedTests], None]:
    def test(self: PlantedTests) -> None:
        seen = first_seen(name, [RECORDED[name], *range(1, _NEAR)])
        self.flushLoggedErrors()
        self.assertIsNotNone(seen, f"Nobody sees it any more: python -m tests.simulation.search {name!r}")

    return test


for _name in BUGS if os.environ.get("DPIP_CHAOS") else _TELLING:
    setattr(PlantedTests, "test_" + re.sub(r"\W+", "_", _name), _test(_name))

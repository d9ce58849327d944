"""Scheduler and datastore in many small worlds."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.simulation.rapid import violations_of

_SEEDS = range(1, 101)
"""``tox -e chaos`` has 5,000."""


class RapidTests(SynchronousTestCase):
    def test_every_job_ends_once_whatever_happens(self) -> None:
        self.assertEqual([(seed, words) for seed in _SEEDS if (words := violations_of(seed))], [])

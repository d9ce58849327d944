"""Nobody waits much longer than is fair, whoever else is there and whatever his jobs look like."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import TestCase

from bench.scheduling_fairness import MIXES, NEW, User, slowdowns
from bench.scheduling_world import Machine

USERS = st.lists(
    st.builds(
        User,
        name=st.just(""),
        jobs=st.integers(1, 20),
        seconds=st.sampled_from((0.02, 0.1, 0.5, 1.0, 3.0)),
        at=st.sampled_from((0.0, 0.1, 2.0, 7.3)),
        pixels=st.sampled_from((1, 3600, 1_000_000, 30_000_000)),
        filters=st.sampled_from((NEW[:1], NEW)),
    ),
    min_size=2,
    max_size=4,
)


class SlowdownTests(TestCase):
    def assertFair(
        self, workers: int, slots: int, users: Sequence[User], longest: int = 1, each: float = 0.0
    ) -> None:
        found = slowdowns(
            lambda: [Machine(f"m{i}", slots=slots) for i in range(workers)], users, longest, each
        )
        self.assertLessEqual(max(found.values()), 2.0, found)

    @settings(max_examples=15, deadline=None, suppress_health_check=list(HealthCheck))
    @given(workers=st.integers(1, 4), slots=st.sampled_from((2, 3, 8)), users=USERS)
    def test_at_most_twice_the_fair_time_beyond_the_longest_job(
        self, workers: int, slots: int, users: list[User]
    ) -> None:
        """Beyond two of them, and two jobs of each other user, spread over the slots. Of those who come at
        one moment nothing is known yet, so a job may be fetched ahead behind a long one."""
        named = [
            evolve(user, name=f"user {i}", filters=[f"{name} of {i}" for name in user.filters])
            for i, user in enumerate(users)
        ]
        self.assertFair(workers, slots, named, longest=2, each=2 / (workers * slots))

    def test_in_each_mix_of_the_bench(self) -> None:
        for name, users in MIXES.items():
            if sum(user.jobs for user in users) < 1000:
                with self.subTest(name):
                    self.assertFair(1, 2, users)

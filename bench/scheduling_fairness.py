"""Users beside each other: how much longer each waits than alone, on the same machines.

Nothing is pre-empted, so a newcomer may have to wait until a running job has ended. What he waits beyond the
longest job is compared with the time that he would need alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count, cycle

from attrs import evolve, frozen

from bench.scheduling_rules import Ours
from bench.scheduling_world import Job, Machine, Simulation


@frozen
class User:
    """One who uploads ``jobs`` pictures at the time ``at``. They take ``seconds`` each, whatever they look
    like: ``pixels`` and the filter are all that can be known before."""

    name: str
    jobs: int
    seconds: float
    at: float = 0.0
    pixels: int = 1_000_000
    filters: Sequence[str] = ("blur",)  # a picture each in turn

    def made(self, numbers: Sequence[int]) -> list[Job]:
        filters = cycle(self.filters)
        return [
            Job(number, f"{self.name}, {name}", self.pixels, self.seconds, name, self.at, self.name)
            for number, name in zip(numbers, filters, strict=False)
        ]


def waited(machines: Callable[[], list[Machine]], users: Sequence[User]) -> dict[str, float]:
    """Return how long each user waits for the last picture."""
    numbers = count()
    jobs = [job for user in users for job in user.made([next(numbers) for _ in range(user.jobs)])]
    run = Simulation(Ours(), machines(), jobs).run()
    last = {user.name: 0.0 for user in users}
    for job in jobs:
        last[job.owner] = max(last[job.owner], run.finished[job.number] - job.at)
    return last


def slowdowns(
    machines: Callable[[], list[Machine]], users: Sequence[User], longest: int = 1, each: float = 0.0
) -> dict[str, float]:
    """Return what each waits ÷ what he needs alone ÷ the number of users.

    What does not count is so many of the others' longest job, and ``each`` of a job of every other user.
    """
    together = waited(machines, users)
    found = {}
    for user in users:
        alone = waited(machines, [evolve(user, at=0.0)])[user.name]
        others = [other.seconds for other in users if other is not user]
        beyond = together[user.name] - longest * max(others) - each * sum(others)
        found[user.name] = beyond / alone / len(users)
    return found


NEW = tuple(f"new{i}" for i in range(200))  # filters that nobody has run
MIXES: dict[str, Sequence[User]] = {
    "tiny pictures beside long jobs, each of a new chain": (
        User("alice", 20, 0.03, at=10.0, pixels=3600),
        User("mallory", 60, 3.0, pixels=1, filters=NEW),
    ),
    "… that look like hers": (
        User("alice", 20, 0.03, at=10.0, pixels=3600),
        User("mallory", 60, 3.0, pixels=3600),
    ),
    "… which began as short ones": (
        User("alice", 20, 0.03, at=20.0, pixels=3600),
        User("mallory", 300, 0.02, pixels=3600),
        User("mallory's other", 60, 3.0, at=2.0, pixels=3600, filters=NEW),
    ),
    "large pictures beside many small ones": (
        User("large", 40, 2.0, pixels=50_000_000),
        User("small", 2000, 0.05),
    ),
    "five equal users, one after another": tuple(
        User(f"user {i}", 100, 0.2, at=i * 2.0, filters=(f"new{i}",)) for i in range(5)
    ),
    "one picture beside four heavy users": (
        User("one", 1, 0.1, at=5.0),
        *(User(f"heavy {i}", 200, 1.0 + i, pixels=1, filters=NEW[i * 10 :]) for i in range(4)),
    ),
}

"""Room that users share: bytes, files or requests at the same time."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from attrs import define, field


@define(eq=False)
class Shares:
    """Divides ``limit`` units among the users that want some (max-min fair), and takes nothing back.

    While there is room anybody may have it, one user alone all of it. When there is none, a user that holds
    less than an equal share still gets up to that, and up to ``at_least()`` in any case. So n users together
    may hold more than the limit: 1 + 1/2 + … + 1/n times as much, without ``at_least``. ``elsewhere`` is what
    each of them holds in other processes, as last heard.
    """

    limit: int
    at_least: Callable[[], int] = field(default=lambda: 1)
    elsewhere: Mapping[str, int] = field(factory=dict)
    _here: dict[str, int] = field(factory=dict, init=False)

    @property
    def here(self) -> int:
        """All that is held in this process."""
        return sum(self._here.values())

    def held(self, user: str) -> int:
        """What the user holds, in whatever process."""
        return self._here.get(user, 0) + self.elsewhere.get(user, 0)

    def has_room(self, user: str, amount: int) -> bool:
        if self.here + sum(self.elsewhere.values()) + amount <= self.limit:
            return True
        users = {user, *self._here, *self.elsewhere}
        return self.held(user) + amount <= max(self.limit // len(users), self.at_least())

    def take(self, user: str, amount: int) -> None:
        self._here[user] = self._here.get(user, 0) + amount

    def give_back(self, user: str, amount: int) -> None:
        self.take(user, -amount)
        if not self._here[user]:
            del self._here[user]

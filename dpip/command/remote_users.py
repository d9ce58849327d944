"""The users of a server, as its admin sees them over the API."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import ClassVar

from attrs import frozen

from dpip.client import User as Answered
from dpip.command.server import Choice, ask
from dpip.model import Role, User


@frozen
class RemoteUsers:
    """Does over the API what :class:`dpip.command.local_users.Directory` does; each command asks once.

    Raises ClientError, ClickException.
    """

    noticed: ClassVar[str] = ""  # the server has changed it itself

    choice: Choice

    def users(self) -> Sequence[User]:
        """By name."""
        return [_user(each) for each in ask(self.choice, lambda client: client.users())]

    def check_known(self, name: str) -> None:
        """The server does that when it comes to it."""

    def check_new(self, name: str) -> None:
        """The server does that when it comes to it."""

    def add(self, name: str, password: str, admin: bool, quota: int | None) -> None:
        ask(self.choice, lambda client: client.add_user(name, password, admin, quota))

    def needs_old_password(self, name: str) -> bool:
        """Is it the caller's own?"""
        return bool(ask(self.choice, lambda client: client.status())["user"] == name)

    def set_password(self, name: str, password: str, old: str | None) -> None:
        ask(self.choice, lambda client: client.set_password(name, password, old))

    def remove(self, name: str) -> int:
        """How many workloads went too is not told: 0."""
        ask(self.choice, lambda client: client.remove_user(name))
        return 0


def _user(answered: Answered) -> User:
    since = datetime.fromisoformat(answered.facts["created_at"]).timestamp()
    return User(answered.user, Role(answered.role), since, answered.quota, answered.used)

"""The users of a server, which its admin manages over the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from dpip.command.server import Choice, ask


@frozen
class RemoteUsers:
    """Does over the API what :class:`dpip.command.local_users.LocalUsers` does; each command asks once.

    Raises ClientError, ClickException.
    """

    noticed: ClassVar[str] = ""  # the server itself has made the change

    choice: Choice

    def users(self) -> Sequence[Mapping[str, Any]]:
        """List the users by name, as the API shows them."""
        return [user.facts for user in ask(self.choice, lambda client: client.users())]

    def check_known(self, name: str) -> None:
        """Check nothing: the server does when it is asked for the change."""

    check_new = check_known

    def add(self, name: str, password: str, admin: bool, quota: int | None) -> None:
        ask(self.choice, lambda client: client.add_user(name, password, admin, quota))

    def needs_old_password(self, name: str) -> bool:
        """Is it the caller's own?"""
        return bool(ask(self.choice, lambda client: client.status())["user"] == name)

    def set_password(self, name: str, password: str, old: str | None) -> None:
        ask(self.choice, lambda client: client.set_password(name, password, old))

    def remove(self, name: str) -> int:
        """Remove a user; returns 0, as the server does not tell how many workloads were removed too."""
        ask(self.choice, lambda client: client.remove_user(name))
        return 0

"""The users of a server, which its admin manages over the API."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from attrs import frozen

from dpip.client import Client
from dpip.command.prompts import ask_password
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

    def change_password(self, name: str) -> None:
        """Ask for a user's new password, and for the old one if it is the caller's own, and set it."""

        async def change(client: Client) -> None:
            is_own = (await client.status())["user"] == name
            old = ask_password(name) if is_own else None
            await client.set_password(name, ask_password(name, new=True), old)

        ask(self.choice, change)

    def remove(self, name: str) -> int:
        """Remove a user; returns 0, as the server does not tell how many workloads were removed too."""
        ask(self.choice, lambda client: client.remove_user(name))
        return 0

"""Which server a command talks to, and as whom: flags, then the environment, then the configuration file."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve, frozen

from dpip.command.logins import Login, Logins

if TYPE_CHECKING:
    from dpip.client import Client, ClientError

T = TypeVar("T")
USUAL = "http://127.0.0.1:8080"
_FIRST_PATIENCE = 5.0
"""Seconds of trying to reach a server at all; once it has answered, it is waited for longer."""


@frozen
class Choice:
    """What flags, environment and configuration file say; ``server`` is None where none of them names one."""

    server: str | None = None
    authority: str | None = None

    def login(self) -> Login:
        """To the named server, else to that of the last ``dpip login``, else to the usual address."""
        return self.named() or Login(USUAL, token=_token_from_environment())

    def named(self) -> Login | None:
        """None when no server was named, and none logged in to."""
        logins = Logins.usual()
        if self.server is None:
            login = logins.newest()
            if login is None:
                return None
        else:
            server = self.server.rstrip("/")
            login = logins.of(server) or Login(server)
        return evolve(
            login,
            token=_token_from_environment() or login.token,
            authority=self.authority or login.authority,
        )


def _token_from_environment() -> str:
    return os.environ.get("DPIP_TOKEN", "")


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """``--server`` and ``--authority``, given to the command as one :class:`Choice` named ``choice``."""

    @click.option(
        "--server",
        metavar="URL",
        envvar="DPIP_SERVER",
        show_envvar=True,
        help="Such as http://127.0.0.1:8080. [default: where you last logged in]",
    )
    @click.option(
        "--authority",
        metavar="PEM",
        envvar="DPIP_AUTHORITY",
        show_envvar=True,
        type=click.Path(exists=True, dir_okay=False, resolve_path=True),
        help="Certificates to trust instead of the system's, such as a controller's authority.pem.",
    )
    def chosen(*arguments: Any, server: str | None, authority: str | None, **options: Any) -> Any:
        return command(*arguments, choice=Choice(server, authority), **options)

    chosen.__doc__, chosen.__name__ = command.__doc__, command.__name__
    chosen.__click_params__ += getattr(command, "__click_params__", [])  # type: ignore[attr-defined]
    return chosen


@asynccontextmanager
async def connected(
    reactor: Any,
    login: Login,
    *,
    patience: float = 30.0,
    connections: int = 4,
    trouble: Callable[[ClientError], object] | None = None,
) -> AsyncIterator[Client]:
    """A client that has been answered, and whose token was taken. Raises ClientError, ClickException."""
    from dpip.client import Client

    authority = None if login.authority is None else Path(login.authority)
    try:
        client = Client(
            reactor,
            login.server,
            login.token,
            patience=_FIRST_PATIENCE,
            connections=connections,
            authority=authority,
            trouble=trouble,
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    async with client:
        if not login.token:
            raise click.ClickException(not_logged_in(login.server))
        await client.status()
        client.patience = patience
        yield client


def ask(choice: Choice, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """What ``question(client)`` answers, with the reactor run for as long as that takes."""
    from dpip.command.running import run

    async def main(reactor: Any) -> T:
        async with connected(reactor, choice.login()) as client:
            return await question(client)

    return run(main)


def not_logged_in(server: str) -> str:
    return f"You are not logged in to {server}. Log in with: dpip login {server}"

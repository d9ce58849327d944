"""The server that a command uses, and the user: from options, the environment, the configuration file."""

from __future__ import annotations

import os
import sys
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable
from contextlib import asynccontextmanager
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from attrs import evolve, frozen

from dpip.command.saved_logins import Login, login_to, newest_login

if TYPE_CHECKING:
    from dpip.client import Client, ClientError
    from dpip.datastore.postgres import PostgresDatabase

T = TypeVar("T")
_WATCH_SECONDS = 1.0
USUAL = "http://127.0.0.1:8080"
_FIRST_PATIENCE = 5.0
"""Seconds for the first answer of a server; once it has answered, commands wait longer."""


@frozen
class Choice:
    """What options, environment and configuration file say; ``server`` is None if none names one."""

    server: str | None = None
    authority: str | None = None

    def login(self) -> Login:
        """Return the login to the named server, else the last ``dpip login``, else the usual address."""
        return self.named() or Login(USUAL, token=_token_from_environment())

    def named(self) -> Login | None:
        """Return the login to the named server, else the last one; None if there is neither."""
        if self.server is None:
            login = newest_login()
            if login is None:
                return None
        else:
            server = self.server.rstrip("/")
            login = login_to(server) or Login(server)
        return evolve(
            login,
            token=_token_from_environment() or login.token,
            authority=self.authority or login.authority,
        )


def _token_from_environment() -> str:
    return os.environ.get("DPIP_TOKEN", "")


def server_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add ``--server`` and ``--authority``, which the command gets as a :class:`Choice` named ``choice``."""

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
        help="Certificates to trust instead of the system's, such as a controller's ca.pem.",
    )
    @wraps(command)
    def chosen(*arguments: Any, server: str | None, authority: str | None, **options: Any) -> Any:
        return command(*arguments, choice=Choice(server, authority), **options)

    return chosen


def client_of(reactor: Any, login: Login, **options: Any) -> Client:
    """Make a client, which does not connect yet. Raises UsageError when the address is invalid."""
    from dpip.client import Client

    authority = None if login.authority is None else Path(login.authority)
    try:
        return Client(
            reactor, login.server, login.token, patience=_FIRST_PATIENCE, authority=authority, **options
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


@asynccontextmanager
async def connected(
    reactor: Any,
    login: Login,
    *,
    patience: float = 30.0,
    connections: int = 4,
    trouble: Callable[[ClientError], object] | None = None,
) -> AsyncIterator[Client]:
    """Make a client whose server has answered and accepts its token. Raises ClientError, ClickException."""
    client = client_of(reactor, login, connections=connections, trouble=trouble)
    async with client:
        if not login.token:
            raise click.ClickException(not_logged_in(login.server))
        await client.status()
        client.patience = patience
        yield client


def ask(choice: Choice, question: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    """Run the reactor for ``question(client)``; returns its answer."""
    from dpip.command.event_loop import run

    async def main(reactor: Any) -> T:
        async with connected(reactor, choice.login()) as client:
            return await question(client)

    return run(main)


def ask_for_each(
    choice: Choice,
    names: Iterable[str],
    request: Callable[[Client, str], Coroutine[Any, Any, object]],
    done: str,
) -> None:
    """Make a request for one name after the other, and print ``done`` with the name in place of ``{}``."""

    async def all_of_them(client: Client) -> None:
        for name in names:
            await request(client, name)
            click.echo(done.format(name))

    ask(choice, all_of_them)


def show_answer(
    choice: Choice,
    question: Callable[[Client], Coroutine[Any, Any, T]],
    display: Callable[[T], bool],
    watch: bool,
) -> None:
    """Display what ``question(client)`` answers; with ``watch`` ask again while ``display`` returns True.

    On a terminal each answer replaces the last one.
    """

    async def repeatedly(client: Client) -> None:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        client.patience = 3600.0  # watching goes on when a server has been restarted
        while True:
            found = await question(client)
            if sys.stdout.isatty():
                click.clear()
            if not display(found):
                return
            await deferLater(reactor, _WATCH_SECONDS)

    if watch:
        ask(choice, repeatedly)
    else:
        display(ask(choice, question))


state_dir_option = click.option(
    "--state-dir",
    metavar="DIR",
    envvar="DPIP_STATE_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the service keeps its state. [env: DPIP_STATE_DIR; default: the user's state directory]",
)


def parse_database(
    _context: click.Context, _option: click.Parameter, text: str | None
) -> PostgresDatabase | None:
    """Make the database of an option's value, or of the environment."""
    from twisted.python.usage import UsageError

    from dpip.datastore.postgres import PostgresDatabase
    from dpip.runtime.options import database_argument, database_from_environment

    try:
        url = database_argument(text) if text else database_from_environment()
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None
    except UsageError as error:
        raise click.UsageError(f"{error}.") from None
    return PostgresDatabase(url) if url else None


database_option = click.option(
    "--database",
    metavar="URL",
    callback=parse_database,
    help="Of a service on PostgreSQL. [env: DPIP_DATABASE; default: a file in the state directory]",
)
store_option = click.option(
    "--store",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the service keeps images. [default: images in the state directory]",
)

watch_option = click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C or the end.")


def not_logged_in(server: str) -> str:
    return f"You are not logged in to {server}. Log in with: dpip login {server}"

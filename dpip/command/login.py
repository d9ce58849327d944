"""``dpip login``, ``logout`` and ``whoami``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dpip.command.prompts import ask_password
from dpip.command.saved_logins import Login, forget_login, keep_login
from dpip.command.server import USUAL, Choice, ask, client_of, server_options
from dpip.command.tables import json_option, show_facts, show_json

if TYPE_CHECKING:
    from dpip.client import Session


@click.command(
    epilog="""\b
Examples:
  dpip login                                         to http://127.0.0.1:8080 as admin
  dpip login https://images.example:8080 --user eve --authority ca.pem
  dpip login < password-file                         for scripts
"""
)
@click.argument("address", metavar="[URL]", required=False)
@click.option("--user", metavar="NAME", default="admin", show_default=True)
@server_options
def login(choice: Choice, address: str | None, user: str) -> None:
    """Log in to a server, which the other commands then use.

    Asks for the password, or takes the first line of standard input when that is not a terminal. The token is
    kept in a file that only you can read, until it expires or 'dpip logout'.
    """
    from dpip.command.event_loop import run

    server = (address or choice.server or USUAL).rstrip("/")
    password = ask_password(user)

    async def main(reactor: object) -> Session:
        async with client_of(reactor, Login(server, authority=choice.authority)) as client:
            return await client.login(user, password)

    session = run(main)
    kept = keep_login(Login(server, session.user, session.token, session.expires_at, choice.authority))
    until = f" until {session.expires_at}" if session.expires_at else ""
    click.echo(f"Logged in to {server} as {session.user}{until}. The token is in {kept}.")


@click.command()
@server_options
def logout(choice: Choice) -> None:
    """Log out: the token is dead from then on."""
    from dpip.client import ApiError

    login = choice.named()
    if login is None or not login.token:
        click.echo("You are not logged in.")
        return
    try:
        ask(choice, lambda client: client.logout())
    except ApiError as error:
        if error.status != 401:  # it had expired
            raise
    forget_login(login.server)
    click.echo(f"Logged out of {login.server}.")


@click.command()
@json_option
@server_options
def whoami(choice: Choice, as_json: bool) -> None:
    """Say which server commands use, and as which user."""
    login = choice.login()
    facts = ask(choice, lambda client: client.status())
    found = {"server": login.server, "user": facts["user"], "expires_at": login.expires_at}
    if as_json:
        show_json(found)
    else:
        show_facts([("server", login.server), ("user", facts["user"]), ("until", login.expires_at)])

"""``dpip users`` manages the users of a server, or those in a state directory on this machine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from dpip.command.prompts import ask_password, confirm
from dpip.command.server import Choice, database_option, server_options, state_dir_option
from dpip.command.tables import Columns, counted, json_option, show, size

if TYPE_CHECKING:
    from dpip.command.local_users import LocalUsers
    from dpip.command.remote_users import RemoteUsers
    from dpip.datastore.postgres import PostgresDatabase

Opened: TypeAlias = "AbstractContextManager[LocalUsers | RemoteUsers]"

_EXAMPLES = """\b
Examples:
  dpip users list
  dpip users add eve --quota 50G           asks for her password
  dpip users passwd admin < new-password   takes it from a file
  dpip users remove eve --server https://images.example:8080
  dpip users passwd admin --state-dir /var/lib/dpip     when nobody knows the old one
"""


@click.group(epilog=_EXAMPLES)
def users() -> None:
    """Add, list and remove users, and set their passwords.

    Asks the server that is named or logged in to. Without one, or with --state-dir or --database, it works on
    the state directory or database itself, for whoever may write there, whether the service runs or not.
    """


def _quota(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    from dpip.runtime.options import size as parsed

    try:
        return None if text is None else parsed(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


_name = click.argument("name")


def _where(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add options that say whose users they are; the command gets them as a context manager ``opened``."""

    @database_option
    @state_dir_option
    @server_options
    @wraps(command)
    def chosen(
        *arguments: Any,
        database: PostgresDatabase | None,
        state_dir: Path | None,
        choice: Choice,
        **options: Any,
    ) -> Any:
        return command(*arguments, opened=_opened(database, state_dir, choice), **options)

    return chosen


@users.command("list")
@json_option
@_where
def list_users(opened: Opened, as_json: bool) -> None:
    """Show every user, with role, space used and quota."""
    with opened as directory:
        show(directory.users(), _COLUMNS, as_json, "There are no users.")


@users.command()
@_name
@click.option("--admin", is_flag=True, help="May manage users and see everybody's workloads.")
@click.option(
    "--quota", metavar="BYTES", callback=_quota, help="Space for images, e.g. 50G. [default: no limit]"
)
@_where
def add(name: str, admin: bool, quota: int | None, opened: Opened) -> None:
    """Add the user NAME.

    Asks for the password, or takes the first line of standard input when that is not a terminal.
    """
    with opened as directory:
        directory.check_new(name)
        directory.add(name, ask_password(name, new=True), admin, quota)
    click.echo(f"Added the {'admin' if admin else 'user'} {name}.")


@users.command()
@_name
@click.option("--yes", is_flag=True, help="Do not ask.")
@_where
def remove(name: str, yes: bool, opened: Opened) -> None:
    """Remove the user NAME, with all workloads and images of that user."""
    with opened as directory:
        directory.check_known(name)
        if not yes:
            confirm(f"Remove {name}, with all workloads and images of that user?")
        workloads = directory.remove(name)
    click.echo(f"Removed {name}" + (f" and {counted(workloads, 'workload')}." if workloads else "."))


@users.command()
@_name
@_where
def passwd(name: str, opened: Opened) -> None:
    """Set the password of the user NAME, who is logged out everywhere.

    Asks for it, or takes the first line of standard input when that is not a terminal. A server asks for the
    old password first where you set your own.
    """
    with opened as directory:
        directory.check_known(name)
        directory.change_password(name)
    click.echo(f"The password of {name} is changed.{directory.noticed}")


def _opened(database: PostgresDatabase | None, state_dir: Path | None, choice: Choice) -> Opened:
    login = choice.named() if state_dir is None and database is None else None
    if login is not None:
        from dpip.command.remote_users import RemoteUsers

        return nullcontext(RemoteUsers(choice))
    from dpip.command.local_users import LocalUsers

    return LocalUsers.opened(state_dir, database)


_COLUMNS: Columns = {
    "USER": lambda facts: facts["user"],
    "ROLE": lambda facts: facts["role"],
    "USED": lambda facts: size(facts["used"]),
    "QUOTA": lambda facts: "no limit" if facts["quota"] is None else size(facts["quota"]),
    "SINCE": lambda facts: facts["created_at"][:10],
}

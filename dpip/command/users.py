"""``dpip users``: the users of the service whose state directory is on this machine."""

from __future__ import annotations

from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpip.command.asking import confirm, new_password

if TYPE_CHECKING:
    from dpip.command.directory import Directory
    from dpip.model import User

_EXAMPLES = """\b
Examples:
  dpip users list
  dpip users add eve --quota 50G           asks for her password
  dpip users passwd admin < new-password   takes it from a file
  dpip users remove eve --state-dir /var/lib/dpip
"""


@click.group(epilog=_EXAMPLES)
def users() -> None:
    """Add, list and remove users, and set their passwords.

    Works on the state directory itself, for whoever may write there, whether the service runs or not.
    """


def _quota(_context: click.Context, _option: click.Parameter, text: str | None) -> int | None:
    from dpip.controller.options import size

    try:
        return None if text is None else size(text)
    except ValueError as error:
        raise click.BadParameter(f"{error}.") from None


_name = click.argument("name")
_state_dir = click.option(
    "--state-dir",
    metavar="DIR",
    envvar="DPIP_STATE_DIR",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the service keeps its state. [env: DPIP_STATE_DIR; default: the user's state directory]",
)


@users.command("list")
@_state_dir
def list_users(state_dir: Path | None) -> None:
    """Show every user, with role, space used and quota."""
    with _opened(state_dir) as directory:
        rows = [("USER", "ROLE", "USED", "QUOTA", "SINCE"), *map(_row, directory.users())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        click.echo("  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True)).rstrip())


@users.command()
@_name
@click.option("--admin", is_flag=True, help="May manage users and see everybody's workloads.")
@click.option(
    "--quota", metavar="BYTES", callback=_quota, help="Space for images, e.g. 50G. [default: no limit]"
)
@_state_dir
def add(name: str, admin: bool, quota: int | None, state_dir: Path | None) -> None:
    """Add the user NAME.

    Asks for the password, or takes the first line of standard input when that is not a terminal.
    """
    with _opened(state_dir) as directory:
        directory.check_new(name)
        directory.add(name, new_password(name), admin, quota)
    click.echo(f"Added the {'admin' if admin else 'user'} {name}.")


@users.command()
@_name
@click.option("--yes", is_flag=True, help="Do not ask.")
@_state_dir
def remove(name: str, yes: bool, state_dir: Path | None) -> None:
    """Remove the user NAME, with all workloads and images of that user."""
    with _opened(state_dir) as directory:
        directory.check_known(name)
        if not yes:
            confirm(f"Remove {name}, with all workloads and images of that user?")
        workloads = directory.remove(name)
    click.echo(
        f"Removed {name}" + (f" and {workloads} workload{'s'[: workloads > 1]}." if workloads else ".")
    )


@users.command()
@_name
@_state_dir
def passwd(name: str, state_dir: Path | None) -> None:
    """Set the password of the user NAME, who is logged out everywhere.

    Asks for it, or takes the first line of standard input when that is not a terminal.
    """
    with _opened(state_dir) as directory:
        directory.check_known(name)
        directory.set_password(name, new_password(name))
    click.echo(f"The password of {name} is changed. A running service takes up to 30 s to notice.")


def _opened(state_dir: Path | None) -> AbstractContextManager[Directory]:
    from dpip.command.directory import Directory

    return Directory.opened(state_dir)


def _row(user: User) -> tuple[str, ...]:
    since = datetime.fromtimestamp(user.created_at, UTC).strftime("%Y-%m-%d")
    quota = "no limit" if user.quota is None else _size(user.quota)
    return user.name, user.role.value, _size(user.used), quota, since


def _size(count: float) -> str:
    for unit in ("", "K", "M", "G"):
        if count < 1024:
            return f"{count:.3g}{unit}"
        count /= 1024
    return f"{count:.3g}T"

"""Questions to the person at the terminal, if there is one."""

from __future__ import annotations

import sys

import click


def on_a_terminal() -> bool:
    """Tell whether there is somebody to ask."""
    return sys.stdin.isatty()


def ask_password(user: str, new: bool = False) -> str:
    """Ask for a password without echo, twice for a new one; without a terminal read it from standard input.

    Raises UsageError when there is none.
    """
    kind = "new password" if new else "password"
    if on_a_terminal():
        again = "The same again" if new else False
        asked = f"{kind.capitalize()} of {user}"
        return str(click.prompt(asked, hide_input=True, confirmation_prompt=again, err=True))
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(f"Give the {kind} on standard input, or run this on a terminal.")
    return line


def confirm(question: str, can_be_undone: bool = False) -> None:
    """Ask for a yes. Raises ClickException for a no.

    Without a terminal nobody can be asked: raises UsageError then, unless it can be undone.
    """
    if not on_a_terminal():
        if can_be_undone:
            return
        raise click.UsageError(f"{question} Say --yes: there is no terminal to ask on.")
    if not click.confirm(question, err=True):
        raise click.ClickException("Nothing was changed.")

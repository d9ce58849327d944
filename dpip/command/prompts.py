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


def confirm(question: str) -> None:
    """Ask for a yes. Raises ClickException for a no. Without a terminal nothing is asked."""
    if on_a_terminal() and not click.confirm(question, err=True):
        raise click.ClickException("Nothing was changed.")

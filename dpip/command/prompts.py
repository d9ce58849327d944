"""Asking the person at the terminal, if there is one."""

from __future__ import annotations

import sys

import click


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def ask_password(user: str, new: bool = False) -> str:
    """Asked for without echo, a new one twice; or the first line of standard input if that is no terminal.

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
    """Raises ClickException for a no. A script is not asked: it means what it says."""
    if on_a_terminal() and not click.confirm(question, err=True):
        raise click.ClickException("Nothing was changed.")

"""Asking the person at the terminal, if there is one."""

from __future__ import annotations

import sys

import click


def on_a_terminal() -> bool:
    """Whether somebody can be asked."""
    return sys.stdin.isatty()


def new_password(user: str) -> str:
    """Asked for twice, without echo; or the first line of standard input when that is not a terminal."""
    if on_a_terminal():
        asked = f"New password of {user}"
        password: str = click.prompt(asked, hide_input=True, confirmation_prompt="The same again", err=True)
        return password
    return _first_line("Give the new password on standard input, or run this on a terminal.")


def password_of(user: str) -> str:
    """Asked for without echo; or the first line of standard input when that is not a terminal."""
    if on_a_terminal():
        password: str = click.prompt(f"Password of {user}", hide_input=True, err=True)
        return password
    return _first_line("Give the password on standard input, or run this on a terminal.")


def _first_line(otherwise: str) -> str:
    """Of standard input. Raises UsageError when there is none."""
    line = sys.stdin.readline().rstrip("\r\n")
    if not line:
        raise click.UsageError(otherwise)
    return line


def confirm(question: str) -> None:
    """Raises ClickException for a no. A script is not asked: it means what it says."""
    if on_a_terminal() and not click.confirm(question, err=True):
        raise click.ClickException("Nothing was changed.")

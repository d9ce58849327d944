"""Asking for a new password."""

from __future__ import annotations

import sys

import click


def new_password(user: str) -> str:
    """Asked twice, without echo; or the first line of stdin when that is not a terminal."""
    if sys.stdin.isatty():
        password: str = click.prompt(
            f"New password of {user}", hide_input=True, confirmation_prompt="The same again", err=True
        )
        return password
    password = sys.stdin.readline().rstrip("\r\n")
    if not password:
        raise click.UsageError(
            "Give the new password on standard input, or run this in a terminal to be asked."
        )
    return password

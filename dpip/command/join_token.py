"""``dpip join-token`` prints or replaces the token with which new workers join."""

from __future__ import annotations

import re

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show_json

_EXAMPLES = """\b
Examples:
  dpip join-token > join-token                  for a worker on another machine
  dpip join-token rotate                        the last one is refused from now on
  dpip join-token rotate --valid 1h > join-token
"""
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class _Duration(click.ParamType[int]):
    """A time such as ``90s``, ``15m``, ``1h`` or ``7d``, in whole seconds."""

    name = "time"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> int:
        match = re.fullmatch(r"(\d{1,6})([smhd])", str(value))
        if match is None:
            self.fail(f"{value!r} is not a time such as 90s, 15m, 1h or 7d", param, ctx)
        return int(match[1]) * _UNITS[match[2]]


@click.group("join-token", epilog=_EXAMPLES, invoke_without_command=True)
@json_option
@server_options
@click.pass_context
def join_token(context: click.Context, choice: Choice, as_json: bool) -> None:
    """Print the token by which new workers join; or replace it. For admins.

    Workers on the service's machine find it in its state directory by themselves.
    """
    if context.invoked_subcommand is None:
        facts = ask(choice, lambda client: client.join_token())
        show_json(facts) if as_json else click.echo(facts["join_token"])


@join_token.command()
@click.option("--valid", metavar="TIME", type=_Duration(), help="For how long, e.g. 1h. [default: for ever]")
@click.option(
    "--grace",
    metavar="TIME",
    type=_Duration(),
    default="0s",
    show_default=True,
    help="How long the last one stays good, e.g. 10m.",
)
@json_option
@server_options
def rotate(choice: Choice, valid: int | None, grace: int, as_json: bool) -> None:
    """Make a new join token and print it; the last one is refused from now on, or after --grace.

    Workers that have joined go on: they have certificates.
    """
    facts = ask(choice, lambda client: client.rotate_join_token(valid, grace))
    if as_json:
        show_json(facts)
        return
    click.echo(facts["join_token"])
    click.echo(f"Good until {facts['expires_at'] or 'the next rotation'}.", err=True)

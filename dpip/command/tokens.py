"""``dpip token`` manages tokens for programs, and prints the one of the login."""

from __future__ import annotations

import click

from dpip.command.server import Choice, ask, ask_for_each, not_logged_in, server_options
from dpip.command.tables import Columns, json_option, show, show_json

_EXAMPLES = """\b
Examples:
  curl -H "Authorization: Bearer $(dpip token)" http://127.0.0.1:8080/status
  dpip token add nightly --days 30 > nightly-token      for a program: a token of its own
  dpip token list
  dpip token revoke 7c05ec9c61e3b2b0
"""


@click.group(epilog=_EXAMPLES, invoke_without_command=True)
@server_options
@click.pass_context
def token(context: click.Context, choice: Choice) -> None:
    """Print the token of your login; or make, list and revoke tokens for programs.

    (Workers join with the join token, which is a file in the service's state directory.)
    """
    if context.invoked_subcommand is not None:
        return
    login = choice.login()
    if not login.token:
        raise click.ClickException(not_logged_in(login.server))
    click.echo(login.token)


@token.command()
@click.argument("name")
@click.option("--days", metavar="N", type=click.IntRange(1, 3650), help="How long it is good. [default: 90]")
@click.option("--user", metavar="USER", help="For another user. For admins.")
@json_option
@server_options
def add(choice: Choice, name: str, days: int | None, user: str | None, as_json: bool) -> None:
    """Make a token, whose NAME tells what it is for, and print it.

    It is shown this once: the server keeps only its hash.
    """
    made = ask(choice, lambda client: client.add_token(name, days, user))
    if as_json:
        show_json(made.facts)
        return
    click.echo(made.token)
    click.echo(f"Token {made.token_id} of {made.user}, until {made.expires_at}; shown only now.", err=True)


@token.command("list")
@click.option("--user", metavar="USER", help="Only those of this user. For admins.")
@json_option
@server_options
def list_tokens(choice: Choice, user: str | None, as_json: bool) -> None:
    """Show your tokens, those of logins included; an admin's list is everybody's."""
    found = ask(choice, lambda client: client.tokens(user))
    show([each.facts for each in found], _COLUMNS, as_json, "There are no tokens.")


@token.command()
@click.argument("token_ids", metavar="TOKEN...", nargs=-1, required=True)
@server_options
def revoke(choice: Choice, token_ids: tuple[str, ...]) -> None:
    """Revoke tokens, by the ids that 'dpip token list' shows."""
    ask_for_each(choice, token_ids, lambda client, each: client.revoke_token(each), "Revoked {}.")


_COLUMNS: Columns = {
    "TOKEN": lambda facts: facts["token_id"],
    "USER": lambda facts: facts["user"],
    "NAME": lambda facts: facts["name"] or "(a login)",
    "CREATED": lambda facts: facts["created_at"][:16],
    "UNTIL": lambda facts: facts["expires_at"][:16],
}

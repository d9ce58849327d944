"""``dpip status`` shows the state of the server."""

from __future__ import annotations

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show, show_facts, show_json
from dpip.command.workloads import COLUMNS


@click.command()
@json_option
@server_options
def status(choice: Choice, as_json: bool) -> None:
    """Show how the server is, and what it is doing."""
    facts = ask(choice, lambda client: client.status())
    if as_json:
        show_json(facts)
        return
    show_facts(
        [
            ("server", choice.login().server),
            ("version", f"{facts['system_name']} {facts['version']}"),
            ("user", facts["user"]),
            ("time there", facts["server_time"]),
        ]
    )
    for warning in facts.get("warnings", ()):
        click.echo(f"warning: {warning}")
    click.echo()
    show(facts["active_workloads"], COLUMNS, False, "Nothing is being done.")

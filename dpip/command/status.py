"""``dpip status`` shows the state of the server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show, show_facts, show_json
from dpip.command.workloads import COLUMNS, first_reason, is_stuck

if TYPE_CHECKING:
    from dpip.client import Client


@click.command()
@json_option
@server_options
def status(choice: Choice, as_json: bool) -> None:
    """Show how the server is, and what it is doing."""

    async def look(client: Client) -> tuple[Mapping[str, Any], str | None]:
        facts = await client.status()
        stuck = next(filter(is_stuck, facts["active_workloads"]), None)
        return facts, first_reason(await client.why(stuck["workload_id"])) if stuck else None

    facts, waits_for = ask(choice, look)
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
    if waits_for is not None:
        click.echo(f"warning: images wait and none is being filtered: {waits_for}")
    click.echo()
    show(facts["active_workloads"], COLUMNS, False, "No workloads are running")

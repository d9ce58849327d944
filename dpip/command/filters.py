"""``dpip filters`` lists the filters with their parameters."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show_json


@click.command()
@click.option("--local", is_flag=True, help="Of this installation, even when a server is logged in to.")
@json_option
@server_options
def filters(choice: Choice, local: bool, as_json: bool) -> None:
    """List the filters with their parameters.

    The server's, or without one those of this installation.
    """
    if local or choice.named() is None:
        from dpip.filters import registry

        found: Any = registry.describe()
    else:
        found = ask(choice, lambda client: client.filters())
    if as_json:
        show_json(found)
        return
    for each in found:
        click.echo(f"{each['name']:20} {each['summary']}")
        for parameter in each["parameters"]:
            click.echo(f"  {_parameter(parameter):40} {parameter['description']}")


def _parameter(facts: Mapping[str, Any]) -> str:
    """Format a parameter as ``--sigma 5 (0.3 to 100)``."""
    default = "" if facts["default"] is None else f" {facts['default']}"
    name = "--" + facts["name"].replace("_", "-")
    if "minimum" in facts and "maximum" in facts:
        return f"{name}{default} ({facts['minimum']:g} to {facts['maximum']:g})"
    choices = "|".join(facts.get("choices", ()))
    return f"{name}{default}" + (f" ({choices})" if choices else "")

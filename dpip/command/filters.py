"""``dpip filters`` lists the filters with their parameters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import click

from dpip.command.filter_options import in_words, shown_value
from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show_json


@click.command(
    epilog="""\b
Examples:
  dpip filters            all of them
  dpip filters blur       one with its options: default, range, choices
"""
)
@click.argument("names", metavar="[NAME...]", nargs=-1)
@click.option("--local", is_flag=True, help="Of this installation, even when a server is logged in to.")
@json_option
@server_options
def filters(choice: Choice, names: tuple[str, ...], local: bool, as_json: bool) -> None:
    """List the filters, or show those named with all their options.

    The server's, or without one those of this installation.
    """
    if local or choice.named() is None:
        from dpip.filters import registry

        found: Any = registry.describe()
    else:
        found = ask(choice, lambda client: client.filters())
    chosen = _chosen(found, names)
    if as_json:
        show_json(chosen)
        return
    for each in chosen:
        click.echo(f"{each['name']:20} {each['summary']}")
        for parameter in each["parameters"]:
            name = "--" + parameter["name"].replace("_", "-")
            words = _full(parameter) if names else parameter["description"]
            click.echo(f"  {name if names else _parameter(parameter):{20 if names else 40}} {words}")


def _chosen(found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> Sequence[Mapping[str, Any]]:
    """Return the filters of these names, or all. Raises UsageError."""
    known = {each["name"]: each for each in found}
    for name in names:
        if name not in known:
            raise click.UsageError(f"There is no filter named {name!r}. Known filters: {', '.join(known)}.")
    return [known[name] for name in names] or found


def _full(facts: Mapping[str, Any]) -> str:
    """Describe a parameter with its range, choices and default."""
    from dpip.filters.schema import Parameter

    told = {name: facts[name] for name in ("minimum", "maximum") if name in facts}
    parameter = Parameter(
        facts["name"],
        facts["type"],
        None,
        facts["description"],
        choices=tuple(facts.get("choices", ())),
        **told,
    )
    return in_words(parameter.allowed(), facts["default"], facts["description"])


def _parameter(facts: Mapping[str, Any]) -> str:
    """Format a parameter as ``--sigma 5 (0.3 to 100)``."""
    default = "" if facts["default"] is None else f" {shown_value(facts['default'])}"
    name = "--" + facts["name"].replace("_", "-")
    if "minimum" in facts and "maximum" in facts:
        return f"{name}{default} ({facts['minimum']:g} to {facts['maximum']:g})"
    choices = "|".join(facts.get("choices", ()))
    return f"{name}{default}" + (f" ({choices})" if choices else "")

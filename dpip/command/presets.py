"""``dpip preset`` keeps filters and output under a name, on this machine or on a server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import click

from dpip.command.filter_options import FilterCommand, FilterSteps, checked
from dpip.command.saved_presets import SavedPreset, forget_preset, keep_preset, saved_preset, saved_presets
from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import Columns, json_option, show, show_json

_EXAMPLES = """\b
Examples:
  dpip preset save web --step resize:width=1600 --format jpeg --quality 82
  dpip run photos -o web --preset web
  dpip preset save web --step grayscale --server https://images.example:8080
  dpip preset copy web --server https://images.example:8080
"""


class PresetCommand(FilterCommand):
    """A command with the options for filters, but without ``--preset``."""

    preset_option = False


@click.group(epilog=_EXAMPLES)
def preset() -> None:
    """Keep filters and output under a name: dpip run --preset NAME.

    They are kept on this machine; with --server on that server, for the API and the browser's page.
    """


@preset.command(cls=PresetCommand)
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace a preset of the same name.")
@server_options
def save(name: str, steps: FilterSteps, output: dict[str, Any], choice: Choice, force: bool) -> None:
    """Save filters, with their parameters, and the options of the output."""
    if not steps:
        raise click.UsageError("Give at least a --filter, a --step, or something for the output.")
    checked(steps, output, known_here=choice.server is None)
    if choice.server is not None:
        ask(choice, lambda client: client.save_preset(name, steps, output, force=force))
    else:
        typed, values = checked(steps, output, known_here=True)
        keep_preset(name, SavedPreset(typed, {key: values[key] for key in output}), force)
    click.echo(f"Saved {name}.")


@preset.command("list")
@json_option
@server_options
def list_presets(choice: Choice, as_json: bool) -> None:
    """Show the presets of this machine; with --server yours on that server."""
    if choice.server is None:
        found = [_facts(name, kept) for name, kept in saved_presets().items()]
    else:
        found = [dict(one) for one in ask(choice, lambda client: client.presets())]
    show(found, _COLUMNS, as_json, "There are no presets.")


@preset.command("show")
@click.argument("name")
@server_options
def show_preset(choice: Choice, name: str) -> None:
    """Show a preset as JSON."""
    if choice.server is None:
        show_json(_facts(name, saved_preset(name)))
    else:
        show_json(ask(choice, lambda client: client.preset(name)))


@preset.command("delete")
@click.argument("name")
@server_options
def delete_preset(choice: Choice, name: str) -> None:
    """Delete a preset."""
    if choice.server is None:
        forget_preset(name)
    else:
        ask(choice, lambda client: client.delete_preset(name))
    click.echo(f"Deleted {name}.")


@preset.command("copy")
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace a preset of the same name.")
@server_options
def copy_preset(choice: Choice, name: str, force: bool) -> None:
    """Bring a preset from a server to this machine."""
    found = ask(choice, lambda client: client.preset(name))
    output = {key: value for key, value in found["output"].items() if value is not None}
    keep_preset(name, SavedPreset([*found["steps"]], output), force)
    click.echo(f"Saved {name}.")


def _facts(name: str, kept: SavedPreset) -> dict[str, Any]:
    return {"preset": name, "steps": kept.steps, "output": kept.output}


def _step_in_words(step: Mapping[str, Any]) -> str:
    values = {name: value for name, value in step.items() if name != "name" and value is not None}
    return ":".join(
        [step["name"], ",".join(f"{name}={_short(value)}" for name, value in values.items())]
    ).strip(":")


def _short(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 30 else f"{text[:29]}…"


def _output_in_words(output: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {_short(value)}" for name, value in output.items() if value is not None)


_COLUMNS: Columns = {
    "PRESET": lambda facts: facts["preset"],
    "FILTERS": lambda facts: " ".join(map(_step_in_words, facts["steps"])),
    "OUTPUT": lambda facts: _output_in_words(facts["output"]),
}

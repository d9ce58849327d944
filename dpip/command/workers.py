"""``dpip workers`` lists, drains and revokes workers."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import click

from dpip.command.server import Choice, ask_for_each, server_options, show_answer, watch_option
from dpip.command.tables import Columns, json_option, show, since, size

_COLUMNS: Columns = {
    "WORKER": lambda facts: facts["worker"],
    "STATE": lambda facts: state_of(facts),
    "SEEN": lambda facts: since(facts["last_seen"]),
    "SLOTS": lambda facts: facts["slots"],
    "RUNNING": lambda facts: _load(facts, "running_jobs"),
    "CPU": lambda facts: _percent(_load(facts, "cpu_percent")),
    "FREE RAM": lambda facts: size(_load(facts, "memory_available")),
    "GPU": lambda facts: " ".join(_percent(gpu["load_percent"]) for gpu in _load(facts, "gpus") or ()),
    "DONE": lambda facts: facts["done"],
    "FAILED": lambda facts: facts["failed"],
    "TAGS": lambda facts: ",".join(facts["tags"]),
}
_names = click.argument("names", metavar="NAME...", nargs=-1, required=True)


@click.group(invoke_without_command=True)
@watch_option
@json_option
@server_options
@click.pass_context
def workers(context: click.Context, choice: Choice, watch: bool, as_json: bool) -> None:
    """List the workers, with what they do at the moment; or send one away. For admins."""
    if context.invoked_subcommand is not None:
        return

    def display(found: Any) -> bool:
        show(found, _COLUMNS, as_json, "No worker has joined")
        return True

    show_answer(choice, lambda client: client.workers(), display, watch)


@workers.command()
@_names
@server_options
def drain(choice: Choice, names: tuple[str, ...]) -> None:
    """Send workers away: they get no more images, finish or return those they have, and end."""
    done = "{} gets no more images, and ends when it is done."
    ask_for_each(choice, names, lambda client, name: client.drain_worker(name), done)


@workers.command()
@_names
@server_options
def resume(choice: Choice, names: tuple[str, ...]) -> None:
    """Start the worker of 'twistd dpip' again, which was drained.

    Others are started again on their machines.
    """
    done = "{} is started again."
    ask_for_each(choice, names, lambda client, name: client.resume_worker(name), done)


@workers.command()
@_names
@server_options
def revoke(choice: Choice, names: tuple[str, ...]) -> None:
    """Throw workers out: their certificates are refused from now on, their images go to others at once."""
    done = "{} is revoked. Only a join token made from now on lets it in again."
    ask_for_each(choice, names, lambda client, name: client.revoke_worker(name), done)
    click.echo("Whoever has the present join token can join by another name: dpip join-token rotate")


def state_of(worker: Mapping[str, Any], now: datetime | None = None) -> str:
    """Name the state of a worker, as the API shows it: ``joined``, or why it is not."""
    if worker["joined"]:
        return "joined"
    if worker["revoked_at"] is not None:
        return "revoked"
    until = worker["suspended_until"]
    kept_out = until is not None and (now or datetime.now(UTC)) < datetime.fromisoformat(until)
    return "suspended" if kept_out else f"Away for {since(worker['last_seen'], now)}"


def _load(facts: Mapping[str, Any], member: str) -> Any:
    return facts["load"][member] if facts["load"] and facts["joined"] else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}%"

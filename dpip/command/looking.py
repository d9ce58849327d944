"""What there is and how it is: workloads, images, workers, filters and the server itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import Columns, chain, json_option, plain, show, show_facts, show_json, since, size

if TYPE_CHECKING:
    from dpip.client import Client, Workload

_EVERY = 1.0
watch_option = click.option("--watch", is_flag=True, help="Again every second, until Ctrl-C or the end.")

_WORKLOADS: Columns = {
    "WORKLOAD": lambda facts: facts["workload_id"],
    "STATUS": lambda facts: facts["status"],
    "IMAGES": lambda facts: facts["accepted"],
    "DONE": lambda facts: facts["filtered"],
    "FAILED": lambda facts: facts["failed"],
    "AGE": lambda facts: since(facts["created_at"]),
    "NAME": lambda facts: facts["workload_name"],
}
_WORKERS: Columns = {
    "WORKER": lambda facts: facts["worker"],
    "STATE": lambda facts: state_of(facts),
    "SEEN": lambda facts: since(facts["last_seen"]),
    "SLOTS": lambda facts: facts["slots"],
    "RUNNING": lambda facts: _load(facts, "running_jobs"),
    "CPU": lambda facts: _percent(_load(facts, "cpu_percent")),
    "FREE": lambda facts: size(_load(facts, "memory_available")),
    "GPU": lambda facts: " ".join(_percent(gpu["load_percent"]) for gpu in _load(facts, "gpus") or ()),
    "DONE": lambda facts: facts["done"],
    "FAILED": lambda facts: facts["failed"],
    "TAGS": lambda facts: ",".join(facts["tags"]),
}
_IMAGES: Columns = {
    "NUMBER": lambda facts: facts["seq"],
    "IMAGE": lambda facts: facts["image_id"],
    "SIZE": lambda facts: size(facts["size"]),
    "PIXELS": lambda facts: f"{facts['width']}x{facts['height']}",
    "FORMAT": lambda facts: facts["format"],
    "NAME": lambda facts: facts["name"],
}


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
    show(facts["active_workloads"], _WORKLOADS, False, "Nothing is being done.")


@click.command()
@click.option("--all", "-a", "everything", is_flag=True, help="Not only the newest 20.")
@click.option(
    "--status", type=click.Choice(["scheduling", "running", "completed"]), help="Only those of this status."
)
@click.option("--name", metavar="TEXT", help="Only those with this text in their name.")
@json_option
@server_options
def workloads(choice: Choice, everything: bool, status: str | None, name: str | None, as_json: bool) -> None:
    """List the workloads, the newest first."""
    found = ask(choice, lambda client: client.workloads(None if everything else 20, status, name))
    show([each.facts for each in found], _WORKLOADS, as_json, "There are no workloads.")


@click.command()
@click.argument("workload_id", metavar="ID")
@click.option("--why", is_flag=True, help="Say why its images are where they are.")
@watch_option
@json_option
@server_options
def workload(choice: Choice, workload_id: str, why: bool, watch: bool, as_json: bool) -> None:
    """Show one workload: how far it is, what has failed.

    With --watch the command ends when the workload does.
    """

    async def look(client: Client) -> tuple[Workload, Mapping[str, Any] | None]:
        return await client.workload(workload_id), await client.why(workload_id) if why else None

    def display(found: tuple[Workload, Mapping[str, Any] | None]) -> bool:
        _show_workload(*found, as_json)
        return not found[0].completed

    _watched(choice, look, display, watch)


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
        show(found, _WORKERS, as_json, "No worker has ever joined.")
        return True

    _watched(choice, lambda client: client.workers(), display, watch)


@workers.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@server_options
def drain(choice: Choice, names: tuple[str, ...]) -> None:
    """Send workers away: they get no more images, finish or return those they have, and end."""

    async def all_of_them(client: Client) -> None:
        for name in names:
            await client.drain_worker(name)
            click.echo(f"{name} gets no more images, and ends when it is done.")

    ask(choice, all_of_them)


@workers.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@server_options
def revoke(choice: Choice, names: tuple[str, ...]) -> None:
    """Throw workers out: their certificates are refused from now on, their images go to others at once."""

    async def all_of_them(client: Client) -> None:
        for name in names:
            await client.revoke_worker(name)
            click.echo(f"{name} is revoked. Only a join token made from now on lets it in again.")
        click.echo("Whoever has the present join token can join by another name: dpip join-token rotate")

    ask(choice, all_of_them)


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


@click.command()
@click.argument("workload_id", metavar="WORKLOAD")
@click.option("--originals", is_flag=True, help="What was uploaded, not what came out.")
@json_option
@server_options
def images(choice: Choice, workload_id: str, originals: bool, as_json: bool) -> None:
    """List the results of a workload, in upload order."""
    kind = "original" if originals else "filtered"
    found = ask(choice, lambda client: client.images(workload_id, kind))
    show([each.facts for each in found], _IMAGES, as_json, "There are none yet.")


def state_of(worker: Mapping[str, Any], now: datetime | None = None) -> str:
    """Of a worker, as the API shows it: ``joined``, or why it is not."""
    if worker["joined"]:
        return "joined"
    if worker["revoked_at"] is not None:
        return "revoked"
    until = worker["suspended_until"]
    kept_out = until is not None and (now or datetime.now(UTC)) < datetime.fromisoformat(until)
    return "suspended" if kept_out else "gone"


def _show_workload(found: Workload, why: Mapping[str, Any] | None, as_json: bool) -> None:
    facts = found.facts
    if as_json:
        show_json({**facts, "why": why} if why else facts)
        return
    eta = facts.get("eta_seconds")
    show_facts(
        [
            ("workload", found.workload_id),
            ("name", found.workload_name),
            ("filter", chain(facts.get("steps", ()))),
            ("status", found.status),
            ("images", f"{found.accepted}, {size(facts.get('size', 0))} of originals and results"),
            ("done", found.filtered),
            ("failed", found.failed),
            ("running", found.running_jobs),
            ("waiting", facts.get("waiting")),
            ("time left", None if eta is None or found.completed else f"about {eta:g} s"),
            ("created", facts.get("created_at")),
            ("finished", facts.get("finished_at")),
        ]
    )
    for failure in found.failed_images:
        click.echo(plain(f"failed: {failure.name or failure.seq}: {failure.reason}"))
    for reason in why["running"] if why else ():
        click.echo(f"number {reason['seq']} is with {reason['worker']}: {reason['why']}")
    for reason in why["waiting"] if why else ():
        click.echo(f"{reason['jobs']} waiting: {reason['why']}")


def _watched(choice: Choice, look: Any, display: Callable[[Any], bool], watch: bool) -> None:
    """``display`` says whether there may be more to see; on a terminal each look replaces the last one."""
    import sys

    async def repeatedly(client: Client) -> None:
        from twisted.internet import reactor
        from twisted.internet.task import deferLater

        client.patience = 3600.0  # a look at a server that is being restarted goes on when it is back
        while True:
            found = await look(client)
            if sys.stdout.isatty():
                click.clear()
            if not display(found):
                return
            await deferLater(reactor, _EVERY)

    if watch:
        ask(choice, repeatedly)
    else:
        display(ask(choice, look))


def _load(facts: Mapping[str, Any], member: str) -> Any:
    return facts["load"][member] if facts["load"] and facts["joined"] else None


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0f}%"


def _parameter(facts: Mapping[str, Any]) -> str:
    """``--sigma 5 (0.3 to 100)``."""
    default = "" if facts["default"] is None else f" {facts['default']}"
    name = "--" + facts["name"].replace("_", "-")
    if "minimum" in facts and "maximum" in facts:
        return f"{name}{default} ({facts['minimum']:g} to {facts['maximum']:g})"
    choices = "|".join(facts.get("choices", ()))
    return f"{name}{default}" + (f" ({choices})" if choices else "")

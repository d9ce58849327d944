"""``dpip workloads``, ``workload``, ``cancel``, ``retry``, ``seal`` and ``delete``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import click

from dpip.command import tables
from dpip.command.prompts import confirm
from dpip.command.server import Choice, ask, ask_for_each, server_options, show_answer, watch_option

if TYPE_CHECKING:
    from dpip.client import Client, Workload

COLUMNS: tables.Columns = {
    "WORKLOAD": lambda facts: facts["workload_id"],
    "STATUS": lambda facts: facts["status"],
    "IMAGES": lambda facts: facts["accepted"],
    "DONE": lambda facts: facts["filtered"],
    "FAILED": lambda facts: facts["failed"],
    "AGE": lambda facts: tables.since(facts["created_at"]),
    "NAME": lambda facts: facts["workload_name"],
}
_id = click.argument("workload_id", metavar="ID")


@click.command()
@click.option("--all", "-a", "everything", is_flag=True, help="Not only the newest 20.")
@click.option(
    "--status", type=click.Choice(["scheduling", "running", "completed"]), help="Only those of this status."
)
@click.option("--name", metavar="TEXT", help="Only those with this text in their name.")
@tables.json_option
@server_options
def workloads(choice: Choice, everything: bool, status: str | None, name: str | None, as_json: bool) -> None:
    """List the workloads, the newest first."""
    found = ask(choice, lambda client: client.workloads(None if everything else 20, status, name))
    tables.show([each.facts for each in found], COLUMNS, as_json, "There are no workloads.")


@click.command()
@click.argument("workload_id", metavar="[ID]", required=False)
@click.option("--why", is_flag=True, help="Say why its images are where they are.")
@watch_option
@tables.json_option
@server_options
def workload(choice: Choice, workload_id: str | None, why: bool, watch: bool, as_json: bool) -> None:
    """Show one workload, by default the newest: how far it is, what has failed.

    With --watch the command ends when the workload does.
    """

    async def look(client: Client) -> tuple[Workload, Mapping[str, Any] | None]:
        nonlocal workload_id
        workload_id = workload_id or await _newest(client)
        found = await client.workload(workload_id)
        return found, await client.why(workload_id) if why or is_stuck(found.facts) else None

    def display(found: tuple[Workload, Mapping[str, Any] | None]) -> bool:
        _show_workload(*found, why, as_json)
        return not found[0].completed

    show_answer(choice, look, display, watch)


@click.command()
@_id
@click.option("--yes", is_flag=True, help="Do not ask.")
@tables.json_option
@server_options
def cancel(choice: Choice, workload_id: str, yes: bool, as_json: bool) -> None:
    """Cancel a workload: its images that are not done yet fail.

    What is done stays, and 'dpip retry' filters the others after all.
    """
    if not yes:
        confirm(f"Cancel {workload_id}?", can_be_undone=True)
    found = ask(choice, lambda client: client.cancel(workload_id))
    cancelled = tables.counted(found.facts["cancelled"], "image")
    _say(found, f"Cancelled {cancelled}; {found.filtered} are done.", as_json)


@click.command()
@_id
@click.argument("images", metavar="[IMAGE...]", nargs=-1)
@tables.json_option
@server_options
def retry(choice: Choice, workload_id: str, images: tuple[str, ...], as_json: bool) -> None:
    """Filter the failed images of a workload again: all, or the named ones.

    They are named by the ids of their originals ('dpip images --originals', 'dpip workload --json').
    """
    found = ask(choice, lambda client: client.retry(workload_id, images or None))
    _say(found, f"{tables.counted(found.facts['retried'], 'image')} will be filtered again.", as_json)


@click.command()
@_id
@click.option("--webhook", metavar="URL", help="To be called when the workload has completed.")
@click.option(
    "--webhook-secret",
    metavar="TEXT",
    envvar="DPIP_WEBHOOK_SECRET",
    show_envvar=True,
    help="Signs that call; better in the environment, where others do not see it.",
)
@tables.json_option
@server_options
def seal(
    choice: Choice, workload_id: str, webhook: str | None, webhook_secret: str | None, as_json: bool
) -> None:
    """Seal a workload: it takes no more images."""
    if webhook is not None and not webhook_secret:
        raise click.UsageError("A webhook needs a secret, which signs its calls: set DPIP_WEBHOOK_SECRET.")
    hook = None if webhook is None else (webhook, webhook_secret or "")
    found = ask(choice, lambda client: client.seal(workload_id, hook))
    _say(found, f"{workload_id} takes no more images; it has {found.accepted}.", as_json)


@click.command()
@click.argument("workload_ids", metavar="WORKLOAD...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def delete(choice: Choice, workload_ids: tuple[str, ...], yes: bool) -> None:
    """Delete workloads with all their images.

    Also while they run.
    """
    if not yes:
        confirm(f"Delete {', '.join(workload_ids)} from the server, with all images?")  # nosec B608
    ask_for_each(choice, workload_ids, lambda client, each: client.delete_workload(each), "Deleted {}.")


def is_stuck(facts: Mapping[str, Any]) -> bool:
    """Tell whether images of a workload wait, and none is being filtered."""
    return bool(facts.get("waiting")) and not facts["running_jobs"]


def first_reason(why: Mapping[str, Any] | None) -> str | None:
    """Say why the first images wait; None if none do."""
    return next((reason["why"] for reason in (why or {}).get("waiting", ())), None)


async def _newest(client: Client) -> str:
    """Return the id of the newest workload. Raises ClickException when there is none."""
    found = await client.workloads(1)
    if not found:
        raise click.ClickException("There are no workloads.")
    return found[0].workload_id


def _show_workload(found: Workload, why: Mapping[str, Any] | None, in_full: bool, as_json: bool) -> None:
    facts = found.facts
    if as_json:
        tables.show_json({**facts, "why": why} if in_full else facts)
        return
    stuck = is_stuck(facts)
    eta = None if stuck else facts.get("eta_seconds")
    tables.show_facts(
        [
            ("workload", found.workload_id),
            ("name", found.workload_name),
            ("filter", tables.chain(facts.get("steps", ()))),
            ("status", found.status),
            ("images", f"{found.accepted}, {tables.size(facts.get('size', 0))} of originals and results"),
            ("done", found.filtered),
            ("failed", found.failed),
            ("with notices", found.noticed or None),
            ("running", found.running_jobs),
            ("waiting", facts.get("waiting")),
            ("waiting for", first_reason(why) if stuck else None),
            ("time left", None if eta is None or found.completed else f"about {eta:g} s"),
            ("created", facts.get("created_at")),
            ("finished", facts.get("finished_at")),
        ]
    )
    for failure in found.failed_images:
        click.echo(tables.plain(f"failed: {failure.name or failure.seq}: {failure.reason}"))
    if not in_full or why is None:
        return
    for reason in why["running"]:
        click.echo(f"number {reason['seq']} is with {reason['worker']}: {reason['why']}")
    for reason in why["waiting"]:
        click.echo(f"{reason['jobs']} waiting: {reason['why']}")


def _say(found: Workload, words: str, as_json: bool) -> None:
    tables.show_json(found.facts) if as_json else click.echo(words)

"""``dpip cancel``, ``dpip retry`` and ``dpip seal``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option, show_json

if TYPE_CHECKING:
    from dpip.client import Workload

_workload = click.argument("workload_id", metavar="ID")


@click.command()
@_workload
@click.option("--yes", is_flag=True, help="Do not ask.")
@json_option
@server_options
def cancel(choice: Choice, workload_id: str, yes: bool, as_json: bool) -> None:
    """Cancel a workload: its images that are not done yet fail.

    What is done stays, and 'dpip retry' filters the others after all.
    """
    from dpip.command.asking import confirm

    if not yes:
        confirm(f"Cancel {workload_id}?")
    found = ask(choice, lambda client: client.cancel(workload_id))
    _say(found, f"Cancelled {_images(found.facts['cancelled'])}; {found.filtered} are done.", as_json)


@click.command()
@_workload
@click.argument("images", metavar="[IMAGE...]", nargs=-1)
@json_option
@server_options
def retry(choice: Choice, workload_id: str, images: tuple[str, ...], as_json: bool) -> None:
    """Filter the failed images of a workload again: all, or the named ones.

    They are named by the ids of their originals ('dpip images --originals', 'dpip workload --json').
    """
    found = ask(choice, lambda client: client.retry(workload_id, images or None))
    _say(found, f"{_images(found.facts['retried'])} will be filtered again.", as_json)


@click.command()
@_workload
@click.option("--webhook", metavar="URL", help="To be called when the workload has completed.")
@click.option(
    "--webhook-secret",
    metavar="TEXT",
    envvar="DPIP_WEBHOOK_SECRET",
    show_envvar=True,
    help="Signs that call; better in the environment, where others do not see it.",
)
@json_option
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


def _say(found: Workload, words: str, as_json: bool) -> None:
    if as_json:
        show_json(found.facts)
    else:
        click.echo(words)


def _images(count: int) -> str:
    return f"{count} image{'s'[: count != 1]}"

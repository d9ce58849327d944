"""``dpip download`` and ``dpip delete``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import json_option

if TYPE_CHECKING:
    from dpip.client import Client, Image


@click.command(
    epilog="""\b
Examples:
  dpip download 01m820w3ca91txf14esfe8c82e -o results
  dpip download 01m820w3ca91txf14esfe8c82e -o results     again: fetches only what is missing
"""
)
@click.argument("workload_id", metavar="WORKLOAD")
@click.option(
    "--output",
    "-o",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to put them. [default: here]",
)
@click.option("--originals", is_flag=True, help="What was uploaded, not what came out.")
@json_option
@server_options
def download(choice: Choice, workload_id: str, folder: Path, originals: bool, as_json: bool) -> None:
    """Download the results of a workload.

    They get the names of their originals. Those that are not there yet are left out: run it again. A file
    that is there already and the same is left alone; nothing is written over another file.
    """
    from dpip.command.pictures import json_line
    from dpip.command.saving import save

    kind = "original" if originals else "filtered"

    def told(image: Image, path: Path) -> None:
        if as_json:
            json_line(
                {"image_id": image.image_id, "seq": image.seq, "file": str(path), "sha256": image.sha256}
            )

    async def fetch(client: Client) -> tuple[int, int]:
        return await save(client, await client.images(workload_id, kind), folder, told)

    fetched, known = ask(choice, fetch)
    if not as_json:
        there = f"; {known} were there already" if known else ""
        click.echo(f"{fetched} downloaded to {folder}{there}.")


@click.command()
@click.argument("workload_ids", metavar="WORKLOAD...", nargs=-1, required=True)
@click.option("--yes", is_flag=True, help="Do not ask.")
@server_options
def delete(choice: Choice, workload_ids: tuple[str, ...], yes: bool) -> None:
    """Delete workloads with all their images.

    Also while they run.
    """
    from dpip.command.asking import confirm

    if not yes:
        confirm(f"Delete {', '.join(workload_ids)} from the server, with all images?")  # nosec B608

    async def all_of_them(client: Client) -> None:
        for workload_id in workload_ids:
            await client.delete_workload(workload_id)
            click.echo(f"Deleted {workload_id}.")

    ask(choice, all_of_them)

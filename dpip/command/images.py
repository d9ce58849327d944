"""``dpip images`` and ``dpip download``: listing and downloading a workload's results or originals."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dpip.command.server import Choice, ask, server_options
from dpip.command.tables import Columns, json_line, json_option, show, size

if TYPE_CHECKING:
    from dpip.client import Client, Image

_COLUMNS: Columns = {
    "NUMBER": lambda facts: facts["seq"],
    "IMAGE": lambda facts: facts["image_id"],
    "SIZE": lambda facts: size(facts["size"]),
    "PIXELS": lambda facts: f"{facts['width']}x{facts['height']}",
    "FORMAT": lambda facts: facts["format"],
    "NAME": lambda facts: facts["name"],
}
_workload = click.argument("workload_id", metavar="WORKLOAD")
_originals = click.option("--originals", is_flag=True, help="What was uploaded, not what came out.")


@click.command()
@_workload
@_originals
@json_option
@server_options
def images(choice: Choice, workload_id: str, originals: bool, as_json: bool) -> None:
    """List the results of a workload, in upload order."""
    found = ask(choice, lambda client: client.images(workload_id, _kind(originals)))
    show([each.facts for each in found], _COLUMNS, as_json, "There are none yet.")


@click.command(
    epilog="""\b
Examples:
  dpip download 01m820w3ca91txf14esfe8c82e -o results
  dpip download 01m820w3ca91txf14esfe8c82e -o results     again: fetches only what is missing
"""
)
@_workload
@click.option(
    "--output",
    "-o",
    "folder",
    metavar="DIR",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path(),
    help="Where to put them. [default: here]",
)
@_originals
@json_option
@server_options
def download(choice: Choice, workload_id: str, folder: Path, originals: bool, as_json: bool) -> None:
    """Download the results of a workload.

    They get the names of their originals. Those that are not there yet are left out: run it again. A file
    that is there already and the same is left alone; nothing is written over another file.
    """

    def saved(image: Image, path: Path) -> None:
        if as_json:
            json_line(
                {"image_id": image.image_id, "seq": image.seq, "file": str(path), "sha256": image.sha256}
            )

    async def fetch(client: Client) -> tuple[int, int]:
        return await _save(client, await client.images(workload_id, _kind(originals)), folder, saved)

    fetched, known = ask(choice, fetch)
    if not as_json:
        there = f"; {known} were there already" if known else ""
        click.echo(f"{fetched} downloaded to {folder}{there}.")


def _kind(originals: bool) -> str:
    return "original" if originals else "filtered"


async def _save(
    client: Client, images: Iterable[Image], folder: Path, saved: Callable[[Image, Path], object]
) -> tuple[int, int]:
    """Download what is missing; returns how many were downloaded, and how many were there already.

    Raises ClickException.
    """
    from twisted.internet.threads import deferToThread

    from dpip.client import gather_bounded
    from dpip.command.run.destinations import place, safe_name, with_suffix_for

    fetched = known = 0

    async def save(image: Image) -> None:
        nonlocal fetched, known
        name = safe_name(image.name or image.image_id)
        wanted = folder / with_suffix_for(Path(name), image.content_type)
        if await deferToThread(_is_there, wanted, image):
            known += 1
            return
        part = folder / f".dpip-part-{os.getpid()}-{image.image_id}"
        await client.download(image.image_id, to=part)
        saved(image, place(part, wanted))
        fetched += 1

    try:
        folder.mkdir(parents=True, exist_ok=True)
        await gather_bounded(client.connections, save, images)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written to: {error.strerror or error}.") from error
    return fetched, known


def _is_there(wanted: Path, image: Image) -> bool:
    """Tell whether the image is there, under one of the names that it may have got."""
    from dpip.command.run.destinations import names

    return any(_is_same(name, image) for name in takewhile(os.path.lexists, names(wanted)))


def _is_same(path: Path, image: Image) -> bool:
    from hashlib import file_digest

    try:
        if path.stat().st_size != image.size:
            return False
        with path.open("rb") as file:
            return file_digest(file, "sha256").hexdigest() == image.sha256
    except OSError:
        return False

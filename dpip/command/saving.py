"""A workload's images into a folder, each once."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable
from itertools import takewhile
from pathlib import Path

import click
from twisted.internet.threads import deferToThread

from dpip.client import Client, Image, gather_bounded
from dpip.command.placing import names, place, safe_name, with_suffix_for


async def save(
    client: Client, images: Iterable[Image], folder: Path, told: Callable[[Image, Path], object]
) -> tuple[int, int]:
    """How many were downloaded, and how many were there already. Raises ClickException."""
    fetched = known = 0

    async def one(image: Image) -> None:
        nonlocal fetched, known
        name = safe_name(image.name or image.image_id)
        wanted = folder / with_suffix_for(Path(name), image.content_type)
        if await deferToThread(_is_there, wanted, image):
            known += 1
            return
        part = folder / f".dpip-part-{os.getpid()}-{image.image_id}"
        await client.download(image.image_id, to=part)
        told(image, place(part, wanted))
        fetched += 1

    try:
        folder.mkdir(parents=True, exist_ok=True)
        await gather_bounded(client.connections, one, images)
    except OSError as error:
        raise click.ClickException(f"{folder} cannot be written to: {error.strerror or error}.") from error
    return fetched, known


def _is_there(wanted: Path, image: Image) -> bool:
    """Under one of the names that it may have got."""
    return any(_is_same(name, image) for name in takewhile(os.path.lexists, names(wanted)))


def _is_same(path: Path, image: Image) -> bool:
    try:
        if path.stat().st_size != image.size:
            return False
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest() == image.sha256
    except OSError:
        return False

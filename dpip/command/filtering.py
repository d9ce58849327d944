"""One workload from the first upload to the last download."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import click
from attrs import define, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client import Client, Image, Workload, gather_bounded
from dpip.command.progress import Stage

_LOOK_SECONDS = 0.1


@frozen
class Timing:
    """How long it took from the first upload to the last result."""

    name: str
    images: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.name:10} {self.images} images in {self.seconds:.2f} s, {self._rate:.0f} images/s"

    @property
    def _rate(self) -> float:
        return self.images / self.seconds


@define
class Filtering:
    """Files go in and come out; ``stage`` shows how far it is. ``now`` gives seconds that never go back."""

    client: Client
    clock: IReactorTime
    now: Callable[[], float]
    stage: Stage
    filter: str
    params: Mapping[str, Any]
    files: Sequence[Path]
    _began: float = field(default=0.0, init=False)
    _uploaded: int = field(default=0, init=False)
    _filtered: int = field(default=0, init=False)

    async def run(self, results: Sequence[Path]) -> Timing:
        """Result number n belongs to file number n. Raises ClickException when an image has failed."""
        name = f"dpip {self.filter}"
        workload = await self.client.create_workload(filter=self.filter, name=name, params=self.params)
        self._began = self.now()
        originals, done = await self._upload_and_watch(workload.workload_id)
        timing = Timing(self.filter, len(self.files), self.now() - self._began)
        if done.failed_images:
            first = done.failed_images[0]
            raise click.ClickException(
                f"{done.failed} of {done.accepted} images could not be filtered. {first.name}: {first.reason}"
            )
        await self._fetch(originals, results)
        self.stage.finish(str(timing).removeprefix(self.filter).lstrip())
        return timing

    async def _upload_and_watch(self, workload_id: str) -> tuple[list[Image], Workload]:
        async def upload() -> list[Image]:
            return await self.client.upload_many(workload_id, self.files, self._taken)

        async def watch() -> Workload:
            return await self._watch(workload_id)

        originals, done = await gather_bounded(2, lambda work: work(), (upload, watch))
        assert isinstance(originals, list)
        assert isinstance(done, Workload)
        return originals, done

    def _taken(self, _original: Image) -> None:
        self._uploaded += 1
        self._show()

    async def _watch(self, workload_id: str) -> Workload:
        """Until every file has ended: the workload alone cannot know how many are still to come."""
        while True:
            workload = await self.client.workload(workload_id)
            self._filtered = workload.filtered
            self._show()
            if workload.filtered + workload.failed == len(self.files):
                return workload
            await deferLater(self.clock, _LOOK_SECONDS)

    def _show(self) -> None:
        rate = self._filtered / max(self.now() - self._began, 0.001)
        words = f"{self._uploaded} uploaded, {self._filtered} filtered, {rate:.0f} images/s"
        self.stage.show(words, self._filtered)

    async def _fetch(self, originals: Sequence[Image], results: Sequence[Path]) -> None:
        """Uploads went in parallel, so a file's place in the workload is what its answer said."""
        found = {image.seq: image.image_id for image in await self.client.images(originals[0].workload_id)}
        ids = [found[original.seq] for original in originals]
        await self.client.download_many(zip(ids, results, strict=True))

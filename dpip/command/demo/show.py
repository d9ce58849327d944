"""The demo itself: it draws a film, has it filtered, and prints how long that took."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, Final
from uuid import uuid4

import click
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.client import (
    Client,
    ClientError,
    Counts,
    Image,
    Item,
    Result,
    UploadPipeline,
    Workload,
    gather_bounded,
)
from dpip.command.demo.film import HEIGHT, WIDTH, DemoFilm
from dpip.command.demo.folder import SIGMA, DemoFolder
from dpip.command.demo.system import whole_system
from dpip.command.log_file import log_to
from dpip.command.progress import Display, Stage, display_on
from dpip.worker.resources import cores

FILTERS: Final[Mapping[str, Mapping[str, Any]]] = {"grayscale": {}, "blur": {"sigma": SIGMA}}


@define
class Show:
    """The demo: ``play`` does everything under a reactor, ``summary`` is for afterwards."""

    log: ClassVar[Logger] = Logger()

    frames: int
    slots: int | None  # None: one for each core
    folder: DemoFolder
    now: Callable[[], float] = time.monotonic
    timings: list[str] = field(factory=list, init=False)

    async def play(self, reactor: Any) -> None:
        """Draw the film, filter it and compare. Raises ClickException, ClientError, OSError."""
        with display_on(sys.stderr, reactor) as display:
            drawing = Deferred.fromCoroutine(self._draw(display.begin("film", "drawing", self.frames)))
            try:
                await self._filter_when(drawing, display, reactor)
            finally:
                drawing.addErrback(lambda _: None)  # it is cancelled, or its error is being raised already
                drawing.cancel()
        await deferToThread(self.folder.compare, self.frames // 2)

    def summary(self) -> Iterator[str]:
        """Yield the lines of a summary for people."""
        yield ""
        yield from self.timings
        yield (
            f"({WIDTH}x{HEIGHT} JPEG, first upload to last download; REST API, database, worker "
            f"and this client on {cores()} cores)"
        )
        yield ""
        yield f"Look at    {self.folder.comparison}"
        yield f"All frames {self.folder.path}/original, grayscale, blur"
        yield "Go on with twistd -n dpip (the service itself)"

    def explain(self, error: Exception) -> str:
        """Say what went wrong, for people; the details go to the log."""
        self.log.error("The demo failed", log_failure=Failure(error))
        if isinstance(error, ClientError | OSError):
            return f"{error} (The log is {self.folder.log}.)"
        return f"This is a fault of DPIP: {error!r}. The details are in {self.folder.log}."

    async def _filter_when(self, drawn: Deferred[None], display: Display, reactor: Any) -> None:
        began, starting = self.now(), display.begin("system", "starting")

        def heard(line: str) -> None:
            if line.startswith("Compiling"):  # the worker's words
                starting.say("compiling the filters, once (up to a minute)")

        log_to(self.folder.log, heard)
        async with whole_system(reactor, self.slots) as client:
            starting.finish(f"{self.slots or cores()} images at once, ready in {self.now() - began:.1f} s")
            await drawn
            for name in FILTERS:
                stage = display.begin(name, "uploading", self.frames)
                filtering = Filtering(client, reactor, name, self.frames, self.folder, stage, self.now)
                self.timings.append(f"{name:10} {await filtering.run()}")

    async def _draw(self, stage: Stage) -> None:
        film = await deferToThread(DemoFilm, self.frames)
        drawn = 0

        def save(number: int) -> None:
            film.frame(number).save(self.folder.frame("original", number), quality=92)

        async def draw(number: int) -> None:
            nonlocal drawn
            await deferToThread(save, number)
            drawn += 1
            stage.show(f"{drawn} of {self.frames} frames drawn", drawn)

        painters = max(1, cores() // 2)  # the other half starts the system
        await gather_bounded(painters, draw, range(self.frames))
        stage.finish(f"{self.frames} frames of {WIDTH}x{HEIGHT} drawn")


@define(eq=False)
class Filtering:
    """Sends the film's frames through one filter, and saves the results."""

    client: Client
    clock: IReactorTime
    filter: str
    frames: int
    folder: DemoFolder
    stage: Stage
    now: Callable[[], float]
    _sent: int = field(default=0, init=False)
    _began: float = field(default=0.0, init=False)
    _saved: float = field(default=0.0, init=False)  # when the last result was

    async def run(self) -> str:
        """Filter the film; returns, for people, the time from the first upload to the last download.

        Raises ClickException when a frame has failed, ClientError, OSError.
        """
        pipeline = UploadPipeline(self.client, self.clock, self, self._make_workload)
        pipeline.changed = lambda: self._show(pipeline.counts)
        self._began = self.now()
        await pipeline.run()
        seconds = self._saved - self._began
        timing = f"{self.frames} images in {seconds:.2f} s, {self.frames / seconds:.0f} images/s"
        self.stage.finish(timing)
        return timing

    async def next(self) -> Item | None:
        if self._sent == self.frames:
            return None
        path = self.folder.frame("original", self._sent)
        self._sent += 1
        return Item(path.name, path, uuid4().hex)

    def uploaded(self, item: Item, image: Image) -> None:
        """Note nothing: an interrupted demo cannot be resumed."""

    async def arrived(self, item: Item, result: Result) -> None:
        await result.take(self.folder.frame(self.filter, item.number))
        self._saved = self.now()

    def failed(self, item: Item, code: str, reason: str) -> None:
        """Raise ClickException: the film must not lack a frame."""
        raise click.ClickException(f"{item.name} could not be filtered: {reason}")

    async def _make_workload(self) -> Workload:
        return await self.client.create_workload(
            self.filter, f"dpip {self.filter}", FILTERS[self.filter], numbering="frames"
        )

    def _show(self, counts: Counts) -> None:
        rate = counts.filtered / max(self.now() - self._began, 0.001)
        words = f"{counts.uploaded} uploaded, {counts.filtered} filtered, {rate:.0f} images/s"
        self.stage.show(words, counts.filtered)

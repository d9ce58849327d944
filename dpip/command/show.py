"""What the demo does: draw a film, have it filtered, and say how that went."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.client import Client, ClientError
from dpip.command.comparison import compare
from dpip.command.drawing import draw
from dpip.command.embedded import embedded
from dpip.command.film import HEIGHT, WIDTH
from dpip.command.filtering import Filtering, Timing
from dpip.command.log import log_to
from dpip.command.progress import Display, Stage, display_on
from dpip.command.results import Results
from dpip.worker.resources import cores

_SIGMA = 10
_COMPILING = "Compiling"  # how the line begins that the worker says then


@define
class Show:
    """``play`` plays it under a reactor; ``summary`` is what there is to say afterwards."""

    log: ClassVar[Logger] = Logger()

    frames: int
    slots: int | None
    results: Results
    now: Callable[[], float] = time.monotonic
    timings: list[Timing] = field(factory=list, init=False)
    _starting: Stage | None = field(default=None, init=False)

    async def play(self, reactor: Any) -> None:
        """Raises ClickException, ClientError, OSError."""
        log_to(self.results.log, self._heard)
        with display_on(sys.stderr, reactor) as display:
            drawing = Deferred.fromCoroutine(self._draw(display, reactor))
            try:
                await self._filter_what(drawing, display, reactor)
            finally:
                drawing.addErrback(lambda _: None)  # cancelled, or overtaken by the error that is raised
                drawing.cancel()
        await deferToThread(compare, self._panels(), self.results.comparison)

    def summary(self) -> Iterator[str]:
        """Lines for people."""
        yield ""
        yield from map(str, self.timings)
        yield (
            f"({WIDTH}x{HEIGHT} JPEG, first upload to last result; REST API, database, worker "
            f"and this client on {cores()} cores)"
        )
        yield ""
        yield f"Look at    {self.results.comparison}"
        yield f"All frames {self.results.folder}/original, grayscale, blur"
        yield "Go on with twistd -n dpip (the service itself)"

    def explain(self, error: Exception) -> str:
        """What went wrong, for people; the details go to the log."""
        self.log.error("The demo failed", log_failure=Failure(error))
        if isinstance(error, ClientError | OSError):
            return f"{error} (The log is {self.results.log}.)"
        return f"This is a fault of DPIP: {error!r}. The details are in {self.results.log}."

    async def _filter_what(self, drawing: Deferred[None], display: Display, reactor: Any) -> None:
        began = self.now()
        self._starting = display.begin("system", "starting")
        async with embedded(reactor, self.slots) as client:
            self._starting.finish(
                f"{self.slots or cores()} images at once, ready in {self.now() - began:.1f} s"
            )
            await drawing
            for name, params in (("grayscale", {}), ("blur", {"sigma": _SIGMA})):
                self.timings.append(await self._filter(client, name, params, display, reactor))

    def _heard(self, line: str) -> None:
        """A line of the log."""
        if line.startswith(_COMPILING) and self._starting is not None:
            self._starting.say("compiling the filters, once (up to a minute)")

    async def _draw(self, display: Display, reactor: Any) -> None:
        stage = display.begin("film", "drawing", self.frames)
        ready = 0

        def drawn(more: int) -> None:
            nonlocal ready
            ready += more
            stage.show(f"{ready} of {self.frames} frames drawn", ready)

        painters = max(1, cores() // 2)  # the other half starts the system
        await draw(reactor, self.frames, self.results.pattern("original"), painters, drawn)
        stage.finish(f"{self.frames} frames of {WIDTH}x{HEIGHT} drawn")

    async def _filter(
        self, client: Client, name: str, params: Mapping[str, Any], display: Display, reactor: Any
    ) -> Timing:
        stage = display.begin(name, "uploading", self.frames)
        originals = self._frames("original")
        filtering = Filtering(client, reactor, self.now, stage, name, params, originals)
        return await filtering.run(self._frames(name))

    def _frames(self, kind: str) -> list[Any]:
        return [self.results.frame(kind, number) for number in range(self.frames)]

    def _panels(self) -> dict[str, Any]:
        middle = self.frames // 2
        captions = {"original": "original", "grayscale": "grayscale", "blur": f"blur, sigma {_SIGMA}"}
        return {caption: self.results.frame(kind, middle) for kind, caption in captions.items()}

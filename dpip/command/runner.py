"""One ``dpip run`` under a reactor: a system to do it, the pictures to be done, the display, the summary."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any, Final

from attrs import define, field
from twisted.internet.threads import deferToThread

from dpip.client import Counts
from dpip.command.inputs import Inputs
from dpip.command.journal import Journal
from dpip.command.pictures import Event, Pictures, count, printable
from dpip.command.rundisplay import duration, figure
from dpip.command.system import Line, LineFor, Order, System

LOG: Final = ".dpip-run.log"


@define(eq=False)
class Runner:
    """``run`` does it; ``summary`` and ``as_json`` say how it went."""

    journal: Journal
    inputs: Inputs
    system: System
    told: Event
    delete: bool = False
    name: str = ""
    now: Callable[[], float] = time.monotonic
    pictures: Pictures | None = field(default=None, init=False)
    line: Line | None = field(default=None, init=False)
    seconds: float = field(default=0.0, init=False)
    _over: bool = field(default=False, init=False)

    async def run(self, reactor: Any) -> None:
        """Raises ClickException, ClientError."""
        with self.system.display:
            async with self.system.running(reactor) as line_for:
                await self._convey(line_for)
        self.journal.end()

    async def _convey(self, line_for: LineFor) -> None:
        task = self.journal.task
        self.pictures = Pictures(self.inputs, self.journal, self.told)
        order = Order(task.steps, task.output, self.name or f"dpip run {self._label}", delete=self.delete)
        self.line = line_for(self.pictures, order)
        counts = self.counts
        shown = self.system.display_for(self._label, self.now)
        self.line.changed = lambda: shown.changed(counts)
        counting = deferToThread(count, self.inputs, lambda: not self._over)
        counting.addCallback(self._counted)
        try:
            await self.line.run()
        finally:
            self._over = True
            self.seconds = self.now() - shown.began
            await counting

    def _counted(self, total: int | None) -> None:
        assert self.pictures is not None
        assert self.system.shown is not None
        if total is not None:
            self.system.shown.total = total - self.pictures.earlier

    @property
    def _label(self) -> str:
        return "+".join(step["name"] for step in self.journal.task.steps)

    # Afterwards

    @property
    def counts(self) -> Counts:
        return Counts() if self.line is None else self.line.counts

    @property
    def failed(self) -> int:
        return 0 if self.pictures is None else self.pictures.failed_count

    def as_json(self) -> dict[str, Any]:
        pictures = self.pictures
        return {
            "status": "summary",
            "done": self.counts.done,
            "failed": self.failed,
            "skipped": sum(pictures.skipped.values()) if pictures else 0,
            "finished_earlier": pictures.earlier if pictures else 0,
            "seconds": round(self.seconds, 3),
            "output": printable(self.journal.folder),
            "server": self.system.login.server if self.system.login else None,
            "workloads": [] if self.line is None else list(self.line.workload_ids),
        }

    def summary(self) -> Iterator[str]:
        """Lines for people."""
        pictures, folder = self.pictures, printable(self.journal.folder)
        if pictures is None:
            return
        done, failed = self.counts.done, self.failed
        rate = figure((done + failed) / max(self.seconds, 0.001))
        if done or failed:
            yield f"{images(done)} done in {duration(self.seconds)} ({rate} images/s), written to {folder}"
        elif not pictures.earlier:
            yield "No images were found."
        if pictures.earlier:
            yield f"{images(pictures.earlier)} finished by an earlier run"
        if pictures.renamed:
            yield f"{images(pictures.renamed)} got a number in the name, as the name was taken"
        yield from listed(
            f"{images(failed)} failed:", failed, (f"{name}: {why}" for name, why in pictures.failures)
        )
        for reason, number in pictures.skipped.items():
            yield f"{number} skipped, {reason}" + (
                f": {', '.join(pictures.skipped_names)}" if len(pictures.skipped) == 1 and number <= 5 else ""
            )


def images(number: int) -> str:
    return f"{number} image{'' if number == 1 else 's'}"


def listed(heading: str, number: int, lines: Iterator[str]) -> Iterator[str]:
    """A heading with its lines, that say how many more there are; nothing when there is none."""
    if not number:
        return
    yield heading
    shown = 0
    for line in lines:
        shown += 1
        yield f"  {line}"
    if number > shown:
        yield f"  and {number - shown} more (the journal in the folder has them all)"

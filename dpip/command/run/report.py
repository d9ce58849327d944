"""The report of a run: a line of JSON for each image when it ends, or a summary for people."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import click
from attrs import define, field

from dpip.client import Fetched
from dpip.command.run.display import Beside, duration, figure
from dpip.command.run.inputs import Found
from dpip.command.tables import counted, json_line, plain

_SHOWN: Final = 20
"""How many failures and skipped files are listed at the end; all are counted."""

_NAMED: Final = 3
"""How many images are named beside a notice."""


@define(eq=False)
class RunReport:
    """Counts images when they end; with ``as_json`` it prints each at once. Results are in ``folder``."""

    folder: Path
    as_json: bool
    done: int = 0
    failed: int = 0
    renamed: int = 0
    replaced: int = 0  # took the place of earlier results
    earlier: int = 0  # finished by an earlier run, and unchanged since
    skipped: Counter[str] = field(factory=Counter)  # by reason
    notices: dict[str, list[str]] = field(factory=dict)  # notice → names of results
    _failures: list[str] = field(factory=list, init=False)
    _skipped_names: list[str] = field(factory=list, init=False)

    def beside(self) -> Beside:
        """Count what is no work of this run."""
        return Beside(self.earlier, self.skipped.total())

    def add_done(self, file: str, result: Path, fetched: Fetched, renamed: bool) -> None:
        """Note a result; ``file`` is the image's name in the journal."""
        self.done += 1
        self.renamed += renamed
        for notice in fetched.notices:
            self.notices.setdefault(plain(notice), []).append(plain(printable(result.name)))
        self._tell(
            file,
            "done",
            result=printable(result),
            size=fetched.size,
            sha256=fetched.sha256,
            notices=list(fetched.notices),
        )

    def add_failed(self, file: str, result: Path, code: str, reason: str) -> None:
        """Note a failure; ``result`` is the name that the result would have had."""
        self.failed += 1
        if len(self._failures) < _SHOWN:
            self._failures.append(f"{plain(printable(result))}: {plain(reason)}")
        self._tell(file, "failed", code=code, reason=reason)

    def add_skipped(self, found: Found) -> None:
        self.skipped[found.skip] += 1
        if len(self._skipped_names) < _SHOWN:
            self._skipped_names.append(plain(printable(found.name)))
        self._tell(os.path.abspath(found.path), "skipped", reason=found.skip)

    def _tell(self, file: str, status: str, **more: Any) -> None:
        if self.as_json:
            json_line({"file": printable(file), "status": status, **more})

    def finish(self, seconds: float, server: str | None, workload_ids: Sequence[str]) -> None:
        """Print the summary, when all images have ended."""
        if not self.as_json:
            for line in self._summary(seconds):
                click.echo(line)
            return
        json_line(
            {
                "status": "summary",
                "done": self.done,
                "failed": self.failed,
                "skipped": self.skipped.total(),
                "finished_earlier": self.earlier,
                "replaced": self.replaced,
                "seconds": round(seconds, 3),
                "output": printable(self.folder),
                "server": server,
                "workloads": list(workload_ids),
            }
        )

    def _summary(self, seconds: float) -> Iterator[str]:
        ended = self.done + self.failed
        if ended:
            rate = f" ({figure(self.done / max(seconds, 0.001))} images/s)" if self.done else ""
            where = f", written to {printable(self.folder)}" if self.done else ""
            yield f"{counted(self.done, 'image')} done in {duration(seconds)}{rate}{where}"
        elif not self.earlier:
            yield "No images were found."
        if self.earlier:
            yield f"{counted(self.earlier, 'image')} done by an earlier run and unchanged since: skipped"
        if self.replaced:
            yield f"{counted(self.replaced, 'image')} took the place of earlier results"
        if self.renamed:
            yield f"{counted(self.renamed, 'image')} got a number in the name, as the name was taken"
        for notice, names in self.notices.items():
            others = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
            yield f"Notice: {notice} ({', '.join(names[:_NAMED])}{others})"
        if self.failed:
            yield f"{counted(self.failed, 'image')} failed:"
            yield from (f"  {failure}" for failure in self._failures)
        if self.failed > len(self._failures):
            more = self.failed - len(self._failures)
            yield f"  and {more} more (the journal in the folder has them all)"
        for reason, number in self.skipped.items():
            few = len(self.skipped) == 1 and number <= 5
            yield f"{number} skipped, {reason}" + (f": {', '.join(self._skipped_names)}" if few else "")


def printable(name: object) -> str:
    """Format a file's name for people and JSON, whatever bytes it has."""
    return os.fsencode(str(name)).decode("utf-8", "replace")

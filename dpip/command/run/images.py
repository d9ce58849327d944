"""The images of a run: they are found, sent, written under their names, and noted in the journal."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from typing import Final

import click
from attrs import define, field
from twisted.internet.threads import deferToThread

from dpip.client import Image, Item, Result
from dpip.command.run.destinations import place, with_suffix_for
from dpip.command.run.inputs import Found, Inputs
from dpip.command.run.journal import Journal, Past
from dpip.command.run.report import RunReport, printable
from dpip.command.tables import plain

_FIND_AT_ONCE: Final = 8
"""Files that are found in one call of a thread: a call for each would cost more than the work."""


@define(eq=False, kw_only=True)
class RunItem(Item):
    """An image of a run: ``known_as`` is its name in the journal, ``result`` that of its result."""

    known_as: str
    result: Path


@define(eq=False)
class RunImages:
    """Sends the inputs that the journal does not list as finished, and writes the results."""

    inputs: Inputs
    journal: Journal
    report: RunReport
    _items: Iterator[RunItem | Found] = field(init=False)
    _found: deque[RunItem | Found] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._items = self._find()

    async def next(self) -> RunItem | None:
        while True:
            if not self._found:
                self._found.extend(await deferToThread(list, islice(self._items, _FIND_AT_ONCE)))
            if not self._found:
                return None
            item = self._found.popleft()
            if isinstance(item, RunItem):
                return item
            self.report.add_skipped(item)

    def uploaded(self, item: Item, image: Image) -> None:
        assert isinstance(item, RunItem)
        self.journal.uploaded(item.known_as, image.workload_id, image.seq)

    async def arrived(self, item: Item, result: Result) -> None:
        """Write a result to its place. Raises ClickException when that fails."""
        assert isinstance(item, RunItem)
        folder, part = self.journal.folder, self.journal.part()
        try:
            fetched = await result.take(part)
            wanted = folder / with_suffix_for(item.result, fetched.content_type)
            written = place(part, wanted)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise click.ClickException(
                f"{plain(printable(item.result))} could not be written to {folder}: "
                f"{error.strerror or error}. Put that right, and go on with --resume."
            ) from error
        self.journal.finished(item.known_as, written, fetched.size, fetched.notices)
        self.report.add_done(item.known_as, written, fetched, written != wanted)

    def failed(self, item: Item, code: str, reason: str) -> None:
        assert isinstance(item, RunItem)
        self.journal.failed(item.known_as, code, reason)
        self.report.add_failed(item.known_as, item.result, code, reason)

    @asynccontextmanager
    async def counting(self, tell: Callable[[int], object]) -> AsyncIterator[None]:
        """Count the images in a thread meanwhile; ``tell`` is called with the number that this run has."""
        over = False

        def count() -> int | None:
            number = 0
            for found in self.inputs:
                if over:
                    return None
                number += _frames_in(found.path) if found.is_film and not found.skip else not found.skip
            return number

        def counted(number: int | None) -> None:
            if number is not None:
                tell(number - self.report.earlier)

        counting = deferToThread(count)
        counting.addCallback(counted)
        try:
            yield
        finally:
            over = True
            await counting

    # These run in a thread.

    def _find(self) -> Iterator[RunItem | Found]:
        for found in self.inputs:
            if found.skip:
                yield found
            elif found.is_film:
                yield from self._frames(found)
            else:
                yield from self._file(found)

    def _frames(self, found: Found) -> Iterator[RunItem]:
        """Yield each frame as a PNG, whose result goes into a folder with the film's name."""
        from dpip.command.run.films import Film

        with Film(found.path) as film:
            for frame in film.frames():
                known_as = f"{os.path.abspath(found.path)}#{frame.number}"
                past = self._unfinished(known_as)
                if past is None:
                    continue
                name = f"{frame.number:06}.png"
                key = self.journal.key(known_as, past.failures, 0, 0)
                source = b"" if past.taken else frame.png()
                result = found.name.with_suffix("") / name
                yield RunItem(name, source, key, past.taken, known_as=known_as, result=result)

    def _file(self, found: Found) -> Iterator[RunItem]:
        known_as = os.path.abspath(found.path)
        past = self._unfinished(known_as)
        if past is None:
            return
        try:
            facts = found.path.stat()
            size, changed = facts.st_size, facts.st_mtime_ns
        except OSError:
            size, changed = 0, 0  # the upload will say what is wrong
        key = self.journal.key(known_as, past.failures, size, changed)
        yield RunItem(
            found.path.name,
            found.path,
            key,
            past.taken,
            known_as=known_as,
            result=found.name,
        )

    def _unfinished(self, known_as: str) -> Past | None:
        """Return the journal's entry of an image; None for a finished one, which is counted."""
        past = self.journal.past(known_as)
        if past.result is None:
            return past
        self.report.earlier += 1
        return None


def _frames_in(path: Path) -> int:
    from dpip.command.run.films import Film  # imports Numba, which only films need

    with Film(path) as film:
        return film.length or 0

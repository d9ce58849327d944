"""The images of a run: they are found, sent, written under their names, and noted in the journal."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from hashlib import file_digest
from itertools import islice
from pathlib import Path
from typing import Final

import click
from attrs import define, evolve, field, frozen
from twisted.internet.threads import deferToThread

from dpip.client import Image, Item, Result
from dpip.command.run.destinations import place, replace, with_suffix_for
from dpip.command.run.inputs import Found, Inputs
from dpip.command.run.journal import FileState, Journal, Past
from dpip.command.run.report import RunReport, printable
from dpip.command.tables import plain

_FIND_AT_ONCE: Final = 8
"""Files that are found in one call of a thread: a call for each would cost more than the work."""


@define(eq=False, kw_only=True)
class RunItem(Item):
    """An image of a run: ``known_as`` is its name in the journal, ``result`` that of its result.

    ``original`` is the file that it is from, and ``state`` what that was like when it was found.
    """

    known_as: str
    result: Path
    original: Path
    state: FileState | None


@frozen
class BadFilm:
    """A film whose frames cannot be read, or no more of them; its other files go on."""

    known_as: str
    result: Path
    reason: str


@define(eq=False)
class RunImages:
    """Sends the inputs that the journal does not list as finished and unchanged, and writes the results.

    ``engine`` names what filters them: results of another are no longer good.
    """

    inputs: Inputs
    journal: Journal
    report: RunReport
    engine: str = ""
    _items: Iterator[RunItem | BadFilm | Found] = field(init=False)
    _found: deque[RunItem | BadFilm | Found] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._items = self._find()

    async def is_anything_left(self) -> bool:
        """Search for the first image to be sent, which the next call of :meth:`next` returns."""
        item = await self.next()
        if item is not None:
            self._found.appendleft(item)
        return item is not None

    async def next(self) -> RunItem | None:
        while True:
            if not self._found:
                self._found.extend(await deferToThread(list, islice(self._items, _FIND_AT_ONCE)))
            if not self._found:
                return None
            item = self._found.popleft()
            if isinstance(item, RunItem):
                return item
            if isinstance(item, BadFilm):
                self.journal.failed(item.known_as, "corrupt-film", item.reason)
                self.report.add_failed(item.known_as, item.result, "corrupt-film", item.reason)
            else:
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
            if self.journal.manner.keep_times and item.state is not None:
                _set_time(part, item.state.time)
            state = await deferToThread(_with_hash, item)
            written = self._place(item, part, wanted)
        except OSError as error:
            raise click.ClickException(
                f"{plain(printable(item.result))} could not be written to {folder}: "
                f"{error.strerror or error}. Put that right, and go on with --resume."
            ) from error
        finally:  # an error, or Ctrl-C
            part.unlink(missing_ok=True)
        self.journal.finished(item.known_as, written, fetched.size, fetched.notices, state, self.engine)
        self.report.add_done(item.known_as, written, fetched, written.name != wanted.name)

    def _place(self, item: RunItem, part: Path, wanted: Path) -> Path:
        """Move a result to its name, or to the place of the picture's earlier result. Raises OSError."""
        taken = self.journal.manner.taken
        old = None if taken == "rename" else self.journal.replaceable(item.known_as)
        if old is not None and old.suffix == wanted.suffix:
            self.report.replaced += 1
            return replace(part, old)
        if taken == "overwrite" and self._may_write_over(wanted):
            self.report.replaced += wanted.exists()
            return replace(part, wanted)
        return place(part, wanted)

    def _may_write_over(self, wanted: Path) -> bool:
        """Tell whether a name may be taken, if it is: never from an original or a result of this run."""
        return not self.journal.is_of_this_run(wanted) and not self.inputs.may_be_original(wanted)

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
                tell(number)

        counting = deferToThread(count)
        counting.addCallback(counted)
        try:
            yield
        finally:
            over = True
            await counting

    # These run in a thread.

    def _find(self) -> Iterator[RunItem | BadFilm | Found]:
        for found in self.inputs:
            if found.skip:
                yield found
            elif found.is_film:
                yield from self._frames_or_reason(found)
            else:
                yield from self._file(found)

    def _frames_or_reason(self, found: Found) -> Iterator[RunItem | BadFilm]:
        try:
            yield from self._frames(found)
        except click.ClickException as error:
            yield BadFilm(os.path.abspath(found.path), found.name, error.message)

    def _frames(self, found: Found) -> Iterator[RunItem]:
        """Yield each frame as a PNG, whose result goes into a folder with the film's name."""
        from dpip.command.run.films import Film

        state = _state(found.path)
        with Film(found.path) as film:
            for frame in film.frames():
                known_as = f"{os.path.abspath(found.path)}#{frame.number}"
                past = self._unfinished(known_as, found.path, state)
                if past is None:
                    continue
                name = f"{frame.number:06}.png"
                key = self.journal.key(known_as, past.failures, 0, 0)
                source = b"" if past.taken else frame.png(upright=True)
                result = found.name.with_suffix("") / name
                yield RunItem(
                    name,
                    source,
                    key,
                    past.taken,
                    known_as=known_as,
                    result=result,
                    original=found.path,
                    state=state,
                )

    def _file(self, found: Found) -> Iterator[RunItem]:
        known_as = os.path.abspath(found.path)
        state = _state(found.path)
        past = self._unfinished(known_as, found.path, state)
        if past is None:
            return
        size, changed = (state.size, state.time) if state else (0, 0)  # the upload will say what is wrong
        key = self.journal.key(known_as, past.failures, size, changed)
        yield RunItem(
            found.path.name,
            found.path,
            key,
            past.taken,
            known_as=known_as,
            result=found.name,
            original=found.path,
            state=state,
        )

    def _unfinished(self, known_as: str, path: Path, state: FileState | None) -> Past | None:
        """Return the journal's entry of an image; None for a finished and unchanged one, which is counted."""
        past = self.journal.past(known_as)
        if past.result is None:
            return past
        if self._is_current(past) and (past.source is None or _is_same(past.source, state, path)):
            self.report.earlier += 1
            return None
        return evolve(past, result=None, taken=None)

    def _is_current(self, past: Past) -> bool:
        """Tell whether the result is this engine's, or one of the run that is resumed."""
        this_run = self.journal.is_of_this_run(self.journal.folder / str(past.result))
        return past.engine in (None, self.engine) or this_run


def _set_time(path: Path, time: int) -> None:
    """Give a file a time, where the file system has such times: no result is lost for that."""
    with suppress(OSError, OverflowError):
        os.utime(path, ns=(time, time))


def _state(path: Path) -> FileState | None:
    try:
        return FileState.of(path)
    except OSError:
        return None


def _is_same(known: FileState, state: FileState | None, path: Path) -> bool:
    """Tell whether a file is what it was: if only its time is another, by its hash."""
    if state is None or known.size != state.size:
        return False
    return known.time == state.time or (known.sha256 != "" and known.sha256 == _hash(path))


def _hash(path: Path) -> str:
    with suppress(OSError), path.open("rb") as file:
        return file_digest(file, "sha256").hexdigest()
    return ""


def _with_hash(item: RunItem) -> FileState | None:
    """Return the state of an item's original with its hash, if it is still in that state and not a film."""
    if item.state is None or not isinstance(item.source, Path) or item.state != _state(item.original):
        return item.state
    return evolve(item.state, sha256=_hash(item.original))


def _frames_in(path: Path) -> int:
    from dpip.command.run.films import Film  # imports Numba, which only films need

    with suppress(click.ClickException), Film(path) as film:  # told in its turn
        return film.length or 0
    return 0

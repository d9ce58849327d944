"""The pictures of one run: found, sent, written under their names, noted in the journal."""

from __future__ import annotations

import json
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any, Final

import click
from attrs import define, field
from twisted.internet.threads import deferToThread

from dpip.client import Image, Parcel, Result
from dpip.command.inputs import Found, Inputs
from dpip.command.journal import Journal
from dpip.command.placing import place, with_suffix_for
from dpip.command.plain import plain

_AT_ONCE: Final = 8
"""Pictures that are looked for in one go: a thread for each would cost more than the looking."""
_SHOWN: Final = 20
"""Failures and skipped files that are kept to be listed at the end; all are counted."""

Event = Callable[[dict[str, Any]], object]


@define(eq=False, kw_only=True)
class Sent(Parcel):
    """``known_as`` is its name in the journal, ``result`` its name under the folder of results."""

    known_as: str
    result: Path


@define(eq=False)
class Pictures:
    """Sends what the inputs have and the journal does not know as finished.

    ``told`` hears of each picture's end, as a JSON-able object.
    """

    inputs: Inputs
    journal: Journal
    told: Event
    earlier: int = field(default=0, init=False)
    renamed: int = field(default=0, init=False)
    failures: list[tuple[str, str]] = field(factory=list, init=False)
    failed_count: int = field(default=0, init=False)
    skipped: Counter[str] = field(factory=Counter, init=False)
    skipped_names: list[str] = field(factory=list, init=False)
    _parcels: Iterator[Sent] = field(init=False)
    _found: deque[Sent] = field(factory=deque, init=False)
    _news: deque[Callable[[], None]] = field(factory=deque, init=False)

    def __attrs_post_init__(self) -> None:
        self._parcels = self._all()

    async def next(self) -> Parcel | None:
        if not self._found:
            self._found.extend(await deferToThread(list, islice(self._parcels, _AT_ONCE)))
            while self._news:
                self._news.popleft()()
        return self._found.popleft() if self._found else None

    def uploaded(self, parcel: Parcel, image: Image) -> None:
        assert isinstance(parcel, Sent)
        self.journal.uploaded(parcel.known_as, image.workload_id, image.seq)

    async def arrived(self, parcel: Parcel, result: Result) -> None:
        """Raises ClickException when it cannot be written."""
        assert isinstance(parcel, Sent)
        part = self.journal.part()
        try:
            fetched = await result.take(part)
            wanted = self.journal.folder / with_suffix_for(parcel.result, fetched.content_type)
            written = place(part, wanted)
        except OSError as error:
            part.unlink(missing_ok=True)
            raise click.ClickException(
                f"{plain(printable(parcel.result))} could not be written to {self.journal.folder}: "
                f"{error.strerror or error}. Put that right, and go on with --resume."
            ) from error
        self.renamed += written != wanted
        self.journal.finished(parcel.known_as, written, fetched.size)
        self.told(
            {
                "file": printable(parcel.known_as),
                "status": "done",
                "result": printable(written),
                "size": fetched.size,
                "sha256": fetched.sha256,
            }
        )

    def failed(self, parcel: Parcel, code: str, reason: str) -> None:
        assert isinstance(parcel, Sent)
        self._fail(parcel.known_as, str(parcel.result), code, reason)

    def _fail(self, known_as: str, name: str, code: str, reason: str) -> None:
        self.journal.failed(known_as, code, reason)
        self.failed_count += 1
        if len(self.failures) < _SHOWN:
            self.failures.append((plain(printable(name)), plain(reason)))
        self.told({"file": printable(known_as), "status": "failed", "code": code, "reason": reason})

    def _skip(self, found: Found) -> None:
        self.skipped[found.skip] += 1
        if len(self.skipped_names) < _SHOWN:
            self.skipped_names.append(plain(printable(found.name)))
        self.told({"file": printable(os.path.abspath(found.path)), "status": "skipped", "reason": found.skip})

    # In a thread

    def _all(self) -> Iterator[Sent]:
        """The news of what is not sent are told later, by the reactor's thread."""
        for found in self.inputs:
            if found.skip:
                self._news.append(lambda found=found: self._skip(found))  # type: ignore[misc]
            elif found.is_film:
                yield from self._frames(found)
            else:
                parcel = self._parcel(found)
                if parcel is not None:
                    yield parcel

    def _frames(self, found: Found) -> Iterator[Sent]:
        """Each frame as a PNG in a folder with the film's name."""
        from dpip.command.filmfiles import Film

        with Film(found.path) as film:
            for frame in film.frames():
                known_as = f"{os.path.abspath(found.path)}#{frame.number}"
                past = self.journal.past(known_as)
                if past.result is not None:
                    self.earlier += 1
                    continue
                name = f"{frame.number:06}.png"
                key = self.journal.key(known_as, past.failures, 0, 0)
                source = b"" if past.taken else frame.png()
                result = found.name.with_suffix("") / name
                yield Sent(name, source, key, past.taken, known_as=known_as, result=result)

    def _parcel(self, found: Found) -> Sent | None:
        known_as = os.path.abspath(found.path)
        past = self.journal.past(known_as)
        if past.result is not None:
            self.earlier += 1
            return None
        try:
            facts = found.path.stat()
            size, changed = facts.st_size, facts.st_mtime_ns
        except OSError:
            size, changed = 0, 0  # the upload says what is wrong
        return Sent(
            found.path.name,
            found.path,
            self.journal.key(known_as, past.failures, size, changed),
            past.taken,
            decoded_bytes=found.decoded_bytes,
            known_as=known_as,
            result=found.name,
        )


def count(inputs: Inputs, wanted: Callable[[], bool]) -> int | None:
    """How many pictures there are, for as long as that is ``wanted``; for a thread."""
    number = 0
    for found in inputs:
        if not wanted():
            return None
        number += _frames_of(found.path) if found.is_film and not found.skip else not found.skip
    return number


def _frames_of(path: Path) -> int:
    from dpip.command.filmfiles import length_of  # PyAV and Numba, which only films need

    return length_of(path)


def printable(name: object) -> str:
    """A file's name for people and JSON, whatever bytes it has."""
    return os.fsencode(str(name)).decode("utf-8", "replace")


def json_line(facts: dict[str, Any]) -> None:
    """To standard output, at once: somebody may be reading along."""
    click.echo(json.dumps(facts, ensure_ascii=False))

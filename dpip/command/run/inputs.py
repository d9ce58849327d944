"""The input files of a run: named one by one, or found in folders and by patterns.

Results of this run and of earlier ones, which journals list, are never among them, but for those in a folder
that is named itself.
"""

from __future__ import annotations

import glob
import os
from collections.abc import Callable, Iterator, Sequence, Set
from pathlib import Path
from typing import Final

import click
from attrs import evolve, frozen

from dpip.command.run.destinations import is_image_name
from dpip.command.run.journal import results_in
from dpip.errors import NotAnImage
from dpip.filters.codec.headers import probe
from dpip.filters.codec.probes.foreign import APPLE_DOUBLE

FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".ogv"})
_LITTER = frozenset({".ds_store", "thumbs.db", "ehthumbs.db", "desktop.ini"})
_RESULT: Final = "results of earlier runs"


@frozen
class Found:
    """A file, and its name under the folder of results. ``skip`` says why it is left out, if it is."""

    path: Path
    name: Path
    skip: str = ""

    @property
    def is_film(self) -> bool:
        return self.path.suffix.lower() in FILMS


@frozen
class Inputs:
    """The files, folders and patterns that were named; each iteration searches them anew, in order.

    Names are relative to the folder if one is named, and begin with the folder's name if several are. A file
    has its bare name; what a pattern finds is named from its first wildcard on. In folders, names that begin
    with a dot are skipped, and so is ``output``, the folder of the results. ``is_own_result`` tells whether a
    file there, by its resolved path, is a result.
    """

    named: Sequence[str]
    output: Path
    is_own_result: Callable[[Path], bool] = lambda _: False

    def check(self) -> None:
        """Raise UsageError for a name or pattern without a file."""
        for each in self.named:
            if not os.path.lexists(each) and (
                not glob.has_magic(each) or next(_expanded(each), None) is None
            ):
                raise click.UsageError(f"There is no file, folder or match for {each!r}.")

    def __iter__(self) -> Iterator[Found]:
        known: set[str] | None = set() if len(self.named) > 1 else None  # only then one may come twice
        for found in self._all():
            if known is not None and not found.skip:
                path = os.path.abspath(found.path)
                if path in known:
                    found = evolve(found, skip="named twice")
                known.add(path)
            yield found

    def may_be_original(self, path: Path) -> bool:
        """Tell whether a file in the folder of the results may be one of the inputs, and no result."""
        return not self.is_own_result(path) and any(self._covers(each, path) for each in self.named)

    def _covers(self, named: str, path: Path) -> bool:
        if not os.path.lexists(named):
            return path.is_relative_to(_fixed_part(named).resolve())
        resolved = Path(named).resolve()
        output = self.output.resolve()
        if resolved in output.parents:  # the folder of the results in it is left out
            return False
        return path.is_relative_to(resolved)

    def _all(self) -> Iterator[Found]:
        for each in self.named:
            if os.path.isdir(each):
                start = Path() if len(self.named) == 1 else Path(Path(each).resolve().name)
                yield from self._walk(Path(each), start, frozenset())
            elif os.path.lexists(each):
                path = Path(each)
                if not _is_litter(path):
                    yield Found(path, Path(path.name), self._reason_against(path))
            else:
                yield from self._matches(each)

    def _reason_against(self, path: Path) -> str:
        """Tell why a named file is left out; nothing if it is not."""
        if path.exists() and not path.is_file():
            return "not a regular file"
        return _RESULT if self._is_result(path) else ""

    def _matches(self, pattern: str) -> Iterator[Found]:
        start = _fixed_part(pattern)
        results: dict[Path, Set[str]] = {}
        for match in _expanded(pattern):
            path = Path(match)
            if not path.is_file() or _is_litter(path) or self._is_in_output(path, start):
                continue
            name = path.relative_to(start)
            below = [path.parents[n] for n in range(len(name.parts) - 1)]
            for folder in below:
                if folder not in results:
                    results[folder] = frozenset(results_in(str(folder)))
            if self._is_result(path) or any(str(path) in results[folder] for folder in below):
                yield Found(path, name, _RESULT)
            else:
                yield Found(path, name) if path.suffix.lower() in FILMS else _probed(path, name)

    def _walk(self, folder: Path, name: Path, results: Set[str]) -> Iterator[Found]:
        """Find the files of a folder and below; ``results`` are those that journals above list."""
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, name, f"cannot be looked into: {error.strerror}")
            return
        if name.name and not self._is_named(folder):
            results = results | frozenset(results_in(str(folder)))
        own = self._touches_output(folder)
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if path.resolve() != self.output.resolve():
                    yield from self._walk(path, name / entry.name, results)
            elif entry.is_dir():
                yield Found(path, name / entry.name, "links to folders")
            elif not entry.is_file():
                yield Found(path, name / entry.name, "not a regular file")
            elif entry.path in results or (own and self._is_result(path)):
                yield Found(path, name / entry.name, _RESULT)
            elif not _is_litter(path):
                yield _probed(path, name / entry.name)

    def _is_named(self, folder: Path) -> bool:
        return any(Path(each) == folder for each in self.named)

    def _touches_output(self, folder: Path) -> bool:
        """Tell whether the folder is that of the results, or below it."""
        return folder.resolve().is_relative_to(self.output.resolve())

    def _is_result(self, path: Path) -> bool:
        return self.is_own_result(path.parent.resolve() / path.name)

    def _is_in_output(self, path: Path, start: Path) -> bool:
        """Tell whether what a pattern found is in the folder of the results, and that below the pattern's."""
        output = self.output.resolve()
        return start.resolve() in output.parents and path.parent.resolve().is_relative_to(output)


def _is_litter(path: Path) -> bool:
    """Tell whether an operating system made the file: its notes on a folder, or on another file."""
    if path.name.lower() in _LITTER:
        return True
    if not path.name.startswith("._"):
        return False
    try:
        with path.open("rb") as file:
            return file.read(len(APPLE_DOUBLE)) == APPLE_DOUBLE
    except OSError:
        return False  # reported when it is its turn


def _expanded(pattern: str) -> Iterator[str]:
    return iter(sorted(glob.iglob(pattern, recursive=True)))


def _fixed_part(pattern: str) -> Path:
    """Return the folders before the first wildcard."""
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _probed(path: Path, name: Path) -> Found:
    """Probe a file of a folder: it is skipped if it is no picture, neither by content nor by name.

    What is damaged, unreadable, or a picture of a kind that is not read, fails in its turn.
    """
    try:
        probe(path)
        return Found(path, name)
    except NotAnImage as problem:
        if path.suffix.lower() in FILMS:
            return Found(path, name, "a film: name it to have its frames filtered")
        told = problem.members
        fails = told.get("damaged") or told.get("picture") or is_image_name(path)
        return Found(path, name, "" if fails else "not an image")
    except OSError:  # reported when it is its turn
        return Found(path, name)

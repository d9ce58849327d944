"""The input files of a run: named one by one, or found in folders and by patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from attrs import frozen

from dpip.command.run.destinations import is_image_name
from dpip.errors import NotAnImage
from dpip.filters.codec.headers import probe
from dpip.filters.codec.probes.foreign import APPLE_DOUBLE

FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".ogv"})
_LITTER = frozenset({".DS_Store", "Thumbs.db", "ehthumbs.db", "desktop.ini"})


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
    with a dot are skipped, and so is ``output``, the folder of the results.
    """

    named: Sequence[str]
    output: Path

    def check(self) -> None:
        """Raise UsageError for a name or pattern without a file."""
        for each in self.named:
            if not os.path.lexists(each) and (
                not glob.has_magic(each) or next(_expanded(each), None) is None
            ):
                raise click.UsageError(f"There is no file, folder or match for {each!r}.")

    def __iter__(self) -> Iterator[Found]:
        for each in self.named:
            if os.path.isdir(each):
                start = Path() if len(self.named) == 1 else Path(Path(each).resolve().name)
                yield from self._walk(Path(each), start)
            elif os.path.lexists(each):
                path = Path(each)
                special = path.exists() and not path.is_file()
                if special:
                    yield Found(path, Path(path.name), "not a regular file")
                elif not _is_litter(path):
                    yield Found(path, Path(path.name))
            else:
                yield from self._matches(each)

    def _matches(self, pattern: str) -> Iterator[Found]:
        start = _fixed_part(pattern)
        for match in _expanded(pattern):
            path = Path(match)
            if path.is_file() and not _is_litter(path):
                name = path.relative_to(start)
                yield Found(path, name) if path.suffix.lower() in FILMS else _probed(path, name)

    def _walk(self, folder: Path, name: Path) -> Iterator[Found]:
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            yield Found(folder, name, f"cannot be looked into: {error.strerror}")
            return
        for entry in entries:
            path = Path(entry.path)
            if entry.name.startswith("."):
                continue
            if entry.is_dir(follow_symlinks=False):
                if path.resolve() != self.output.resolve():
                    yield from self._walk(path, name / entry.name)
            elif entry.is_file() and not _is_litter(path):
                yield _probed(path, name / entry.name)


def _is_litter(path: Path) -> bool:
    """Tell whether an operating system made the file: its notes on a folder, or on another file."""
    if path.name in _LITTER:
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

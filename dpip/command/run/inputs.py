"""The input files of a run: named one by one, or found in folders and by patterns."""

from __future__ import annotations

import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import click
from attrs import frozen

from dpip.errors import NotAnImage
from dpip.filters.codec.headers import probe

FILMS = frozenset({".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".ts", ".wmv", ".ogv"})


@frozen
class Found:
    """A file, and its name under the folder of results.

    ``skip`` says why it is left out, if it is. ``decoded_bytes`` is its size as arrays, if known.
    """

    path: Path
    name: Path
    skip: str = ""
    decoded_bytes: int | None = None

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
                yield Found(path, Path(path.name), "not a regular file" if special else "")
            else:
                yield from self._matches(each)

    def _matches(self, pattern: str) -> Iterator[Found]:
        start = _fixed_part(pattern)
        for match in _expanded(pattern):
            path = Path(match)
            if path.is_file():
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
            elif entry.is_file():
                yield _probed(path, name / entry.name)


def _expanded(pattern: str) -> Iterator[str]:
    return iter(sorted(glob.iglob(pattern, recursive=True)))


def _fixed_part(pattern: str) -> Path:
    """Return the folders before the first wildcard."""
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _probed(path: Path, name: Path) -> Found:
    """Probe a file of a folder: it is skipped if it is no picture, not if it is damaged or unreadable."""
    try:
        return Found(path, name, decoded_bytes=probe(path).decoded_bytes)
    except NotAnImage as problem:
        if path.suffix.lower() in FILMS:
            return Found(path, name, "a film: name it to have its frames filtered")
        return Found(path, name, "" if problem.members.get("damaged") else "not an image")
    except OSError:  # reported when it is its turn
        return Found(path, name)

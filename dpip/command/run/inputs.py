"""The files that a command is to work on: found in folders, by patterns, or named one by one."""

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
    """A file, and its name under the folder of results. ``skip`` says why it is passed over; a picture whose
    header has been read has so many ``decoded_bytes``."""

    path: Path
    name: Path
    skip: str = ""
    decoded_bytes: int | None = None

    @property
    def is_film(self) -> bool:
        return self.path.suffix.lower() in FILMS


@frozen
class Inputs:
    """What was named: every iteration looks anew, in the same order, and keeps nothing of it.

    Of one folder the names begin within it; of several each keeps its own name. A file has its bare name, and
    what a pattern finds is named from where its wildcards begin. Names that begin with a dot are passed over
    in folders, and so is ``output``, the folder of the results.
    """

    named: Sequence[str]
    output: Path

    def check(self) -> None:
        """Raises UsageError for what is not there."""
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
                yield Found(path, name) if path.suffix.lower() in FILMS else _looked_at(path, name)

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
                yield _looked_at(path, name / entry.name)


def _expanded(pattern: str) -> Iterator[str]:
    return iter(sorted(glob.iglob(pattern, recursive=True)))


def _fixed_part(pattern: str) -> Path:
    """The folders before the first wildcard."""
    parts = Path(pattern).parts
    first = next(place for place, part in enumerate(parts) if glob.has_magic(part))
    return Path(*parts[:first])


def _looked_at(path: Path, name: Path) -> Found:
    """A file of a folder: passed over if it is no picture, but not if it is damaged or cannot be read."""
    try:
        return Found(path, name, decoded_bytes=probe(path).decoded_bytes)
    except NotAnImage as problem:
        if path.suffix.lower() in FILMS:
            return Found(path, name, "a film: name it to have its frames filtered")
        return Found(path, name, "" if problem.members.get("damaged") else "not an image")
    except OSError:  # that is told when it is its turn
        return Found(path, name)

"""Where a result goes: under its own name, with the right extension, and never over another file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Final

from dpip.filters.output import EXTENSIONS

_KNOWN: Final = frozenset(chain.from_iterable(EXTENSIONS.values()))


def with_suffix_for(name: Path, content_type: str) -> Path:
    """The name as it is when it fits the type; else with another extension in place of an image's."""
    fitting = EXTENSIONS.get(content_type)
    if fitting is None or name.suffix.lower() in fitting:
        return name
    if name.suffix.lower() in _KNOWN:
        return name.with_suffix(fitting[0])
    return name.with_name(name.name + fitting[0])


def place(part: Path, wanted: Path) -> Path:
    """Give the file ``part`` the first of the :func:`names` that is free; the file appears whole.

    Raises OSError.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for name in names(wanted):
        with suppress(FileExistsError):
            _move_to_free_name(part, name)
            return name
    raise AssertionError("there is always another number")


def names(wanted: Path) -> Iterator[Path]:
    """The name itself, and then with the numbers from 2: ``a.png``, ``a-2.png``, …"""
    yield wanted
    for number in count(2):
        yield wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")


def _move_to_free_name(part: Path, name: Path) -> None:
    """Raises FileExistsError."""
    try:
        os.link(part, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name first
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(part, name)
    else:
        part.unlink()


def is_image_name(name: Path) -> bool:
    """Whether its extension is that of an image."""
    return name.suffix.lower() in _KNOWN


def safe_name(name: str) -> str:
    """The last part of a name that somebody else chose, as a file's name: no folders, no hidden files."""
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").lstrip(".")
    return last or "image"

"""Where results go: each under its own name, with the right extension, and never over another file."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, count
from pathlib import Path
from typing import Final

from dpip.filters.output import EXTENSIONS

_KNOWN: Final = frozenset(chain.from_iterable(EXTENSIONS.values()))
#: Extensions of pictures that DPIP does not read.
_FOREIGN: Final = frozenset(
    {".psd", ".psb", ".exr", ".hdr", ".svg", ".jxr", ".wdp", ".jls", ".dcm", ".fits", ".fit", ".xcf", ".pcx"}
    | {".crw", ".x3f", ".iiq", ".bpg", ".eps", ".wmf", ".emf", ".sgi", ".ras"}
)


def with_suffix_for(name: Path, content_type: str) -> Path:
    """Return the name if it fits the type, else with the type's extension in place of another image's."""
    fitting = EXTENSIONS.get(content_type)
    if fitting is None or name.suffix.lower() in fitting:
        return name
    if name.suffix.lower() in _KNOWN:
        return name.with_suffix(fitting[0])
    return name.with_name(name.name + fitting[0])


def place(part: Path, wanted: Path) -> Path:
    """Move the file ``part`` to the first of the :func:`names` that is free; it appears whole.

    Raises OSError.
    """
    wanted.parent.mkdir(parents=True, exist_ok=True)
    for name in names(wanted):
        with suppress(FileExistsError):
            _move_to_free_name(part, name)
            return name
    raise AssertionError("there is always another number")


def replace(part: Path, old: Path) -> Path:
    """Move the file ``part`` over an old one. Raises OSError."""
    old.parent.mkdir(parents=True, exist_ok=True)
    return part.replace(old)


def names(wanted: Path) -> Iterator[Path]:
    """Yield the name itself, and then with numbers from 2: ``a.png``, ``a-2.png``, …"""
    yield wanted
    for number in count(2):
        yield wanted.with_name(f"{wanted.stem}-{number}{wanted.suffix}")


def _move_to_free_name(part: Path, name: Path) -> None:
    """Move a file to a name. Raises FileExistsError if it is taken."""
    try:
        os.link(part, name)
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: reserve the name first
        os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        os.replace(part, name)
    else:
        part.unlink()


def is_image_name(name: Path) -> bool:
    """Tell whether the extension is that of an image, be it of a kind that is read or not."""
    return name.suffix.lower() in _KNOWN | _FOREIGN


def safe_name(name: str) -> str:
    """Make a file's name of one that somebody else chose: without folders, and never hidden."""
    last = name.replace("\\", "/").rpartition("/")[2].replace("\0", "").lstrip(".")
    return last or "image"

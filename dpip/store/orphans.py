"""Finds and removes orphans: files that no row refers to, left by a crash, a lost client, a deleted workload.

These functions block, so they belong in a thread. ``before`` is in seconds since the epoch.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Callable, Collection, Iterable, Sequence
from contextlib import suppress


def folders(root: str, ours: re.Pattern[str]) -> Sequence[str]:
    """Directories whose names match; nothing else below the root is ours to remove."""
    with os.scandir(root) as entries:
        return [e.name for e in entries if ours.fullmatch(e.name) and e.is_dir(follow_symlinks=False)]


def files(root: str, directory: str, folders: Iterable[str]) -> Sequence[str]:
    """Paths, relative to the root, of all files in these folders of a workload's directory."""
    found: list[str] = []
    outer = os.path.join(root, directory)
    for folder in folders:
        path = os.path.join(outer, folder)
        if os.path.islink(outer) or os.path.islink(path) or not os.path.isdir(path):
            continue
        with os.scandir(path) as entries:
            found.extend(f"{directory}/{folder}/{entry.name}" for entry in entries)
    return found


def remove_old(folder: str, before: float) -> int:
    """Remove the files of a folder that have not been touched since; how many they were."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries]
    return sum(_remove(path, before, os.unlink) for path in paths)


def remove_unknown(root: str, paths: Iterable[str], known: Collection[str], before: float) -> int:
    orphans = (os.path.join(root, path) for path in paths if path not in known)
    return sum(_remove(path, before, os.unlink) for path in orphans)


def remove_old_tree(path: str, before: float) -> int:
    """Remove a directory; ``rmtree`` follows no link, and refuses to begin at one."""
    return _remove(path, before, shutil.rmtree)


def _remove(path: str, before: float, remove: Callable[[str], object]) -> int:
    with suppress(FileNotFoundError):
        if os.lstat(path).st_mtime < before:
            remove(path)
            return 1
    return 0

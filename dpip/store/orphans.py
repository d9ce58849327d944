"""Files that nothing refers to: left behind by a crash, a client that went away, a deleted workload.

All of it blocks and belongs in a thread; ``before`` is seconds since the epoch.
"""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Collection, Iterable, Sequence
from contextlib import suppress


def folders(root: str, ours: re.Pattern[str]) -> Sequence[str]:
    """Directories with names like ours; what else lies there is not ours to remove."""
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
    """Everything in a folder that has not been touched since; how many went."""
    with os.scandir(folder) as entries:
        paths = [entry.path for entry in entries]
    return sum(_remove(path, before) for path in paths)


def remove_unknown(root: str, paths: Iterable[str], known: Collection[str], before: float) -> int:
    return sum(_remove(os.path.join(root, path), before) for path in paths if path not in known)


def remove_old_tree(path: str, before: float) -> int:
    """``rmtree`` follows no link, and refuses to begin at one."""
    with suppress(FileNotFoundError):
        if os.lstat(path).st_mtime < before:
            shutil.rmtree(path)
            return 1
    return 0


def _remove(path: str, before: float) -> int:
    with suppress(FileNotFoundError):
        if os.lstat(path).st_mtime < before:
            os.unlink(path)
            return 1
    return 0

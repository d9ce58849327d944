"""Simulated disks: real files in a temporary directory, and a record of what of them has been fsynced.

A killed process leaves everything it has written: the kernel writes it out. When the power fails, only what
was fsynced is certain to be there: a file's bytes up to its last fsync, a directory's names as of its own. Of
the rest anything may be there, and the seed decides.

SQLite's own fsyncs cannot be seen; but its documentation says when it makes them: with ``synchronous=FULL``
at each commit, with less not before a checkpoint. So the write-ahead log of a database is certain up to its
last commit if that was made with FULL.
"""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from random import Random
from typing import Any
from unittest.mock import patch

from sqlalchemy import Engine, event

_TOTAL = 2**40
_FULL = 2


class Disk:
    """Of one incarnation of a machine. ``root`` holds its files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.full = False
        self.busy = False  # somebody else writes to the databases
        self.unsure: Callable[[], object] | None = (
            None  # told of a commit that fails, and is there afterwards
        )
        self.slowness = 1.0
        self.fails_to_sync: Callable[[], bool] = lambda: False  # a file, this time
        self.before_sync: Callable[[str], None] = lambda path: None
        self.after_sync: Callable[[str], None] = lambda path: None
        self._sizes: dict[int, int] = {}  # of files, by inode: bytes that are on the platter
        self._names: dict[int, dict[str, int]] = {}  # of directories: name -> inode, likewise
        self._unsafe_logs: dict[str, int] = {}  # databases committed without FULL -> safe bytes of their logs
        self._safe_logs: set[str] = set()
        root.mkdir(parents=True, exist_ok=True)
        self._settle()

    def _settle(self) -> None:
        """Everything that is there now is durable."""
        for folder, _, files in os.walk(self.root):
            self._synced_directory(Path(folder))
            for file in files:
                status = os.stat(os.path.join(folder, file))
                self._sizes[status.st_ino] = status.st_size

    def _synced_directory(self, folder: Path) -> None:
        with os.scandir(folder) as entries:
            self._names[folder.stat().st_ino] = {entry.name: entry.inode() for entry in entries}

    def synced(self, path: str) -> None:
        status = os.stat(path)
        if os.path.isdir(path):
            self._synced_directory(Path(path))
        else:
            self._sizes[status.st_ino] = status.st_size

    def heal(self) -> None:
        """Nothing is wrong with it any more."""
        self.full = self.busy = False
        self.unsure = None
        self.slowness = 1.0
        self.fails_to_sync = lambda: False
        self.before_sync = self.after_sync = lambda path: None

    def committing(self, database: str, synchronous: int) -> None:
        if synchronous < _FULL:
            self._unsafe_logs.setdefault(database, _size(f"{database}-wal"))
        else:
            self._safe_logs.add(f"{database}-wal")  # with its name: SQLite fsyncs the directory, too

    def usage(self, path: str) -> tuple[int, int, int]:
        free = 0 if self.full else _TOTAL // 2
        return _TOTAL, _TOTAL - free, free

    # After the end

    def survive(self, root: Path, power_failed: bool, chance: Random) -> Disk:
        """The disk as the next incarnation finds it, at ``root``."""
        if power_failed:
            inodes = self._by_inode()
            self._copy_certain(self.root, root, inodes, chance)
        else:
            shutil.copytree(self.root, root, ignore=shutil.ignore_patterns("*-shm", "lock"))
        survivor = Disk(root)
        survivor.full, survivor.slowness = self.full, self.slowness
        return survivor

    def _by_inode(self) -> dict[int, Path]:
        found: dict[int, Path] = {self.root.stat().st_ino: self.root}
        for folder, directories, files in os.walk(self.root):
            for name in (*directories, *files):
                path = Path(folder, name)
                found[path.lstat().st_ino] = path
        return found

    def _copy_certain(self, source: Path, target: Path, inodes: dict[int, Path], chance: Random) -> None:
        target.mkdir(mode=0o700, parents=True)
        with os.scandir(source) as entries:
            present = {entry.name: entry.inode() for entry in entries}
        certain = self._names.get(source.stat().st_ino, {})
        logs = {name: inode for name, inode in present.items() if f"{source}/{name}" in self._safe_logs}
        # With luck the file system has written its journal just in time.
        names = present if chance.random() < 0.5 else certain | logs
        for name in sorted(names):
            path = inodes.get(names[name])
            if path is None or name == "lock" or name.endswith("-shm"):
                continue
            if path.is_dir():
                self._copy_certain(path, target / name, inodes, chance)
            else:
                self._copy_file(path, target / name, chance)

    def _copy_file(self, source: Path, target: Path, chance: Random) -> None:
        data = source.read_bytes()
        safe = self._safe(source, len(data))
        if safe < len(data):
            safe = chance.choice((safe, chance.randint(safe, len(data)), len(data)))
        target.write_bytes(data[:safe])

    def _safe(self, path: Path, size: int) -> int:
        if path.name.endswith("-wal"):
            return self._unsafe_logs.get(str(path).removesuffix("-wal"), size)
        if path.suffix == ".sqlite":
            return size
        return self._sizes.get(path.stat().st_ino, 0)


def _size(path: str) -> int:
    try:
        return os.path.getsize(path)
    except FileNotFoundError:
        return 0


@contextmanager
def watched(disk_of: Callable[[str], Disk | None]) -> Iterator[None]:
    """While this lasts, fsyncs and commits go through the disks; ``disk_of(path)`` finds a file's."""
    real_fsync, real_write = os.fsync, os.write

    def path_of(descriptor: int) -> tuple[Disk | None, str]:
        path = os.readlink(f"/proc/self/fd/{descriptor}")
        return disk_of(path), path

    def fsync(descriptor: int) -> None:
        disk, path = path_of(descriptor)
        if disk is None:
            real_fsync(descriptor)
            return
        if disk.full and not os.path.isdir(path):
            raise OSError(errno.ENOSPC, "No space left on device")
        if not os.path.isdir(path) and disk.fails_to_sync():
            raise OSError(errno.EIO, "Input/output error")
        disk.before_sync(path)
        disk.synced(path)
        disk.after_sync(path)

    def write(descriptor: int, data: Any) -> int:
        disk, _ = path_of(descriptor)
        if disk is not None and disk.full:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real_write(descriptor, data)

    def connected(connection: sqlite3.Connection, _: Any) -> None:
        connection.execute("PRAGMA busy_timeout = 0")

    def begin(connection: Any) -> None:
        disk = disk_of(connection.engine.url.database or "")
        if disk is not None and disk.busy and not _pragma(connection, "query_only"):
            raise _sqlite_error("database is locked", sqlite3.SQLITE_BUSY)

    def commit(connection: Any) -> None:
        database = connection.engine.url.database or ""
        disk = disk_of(database)
        if disk is None:
            return
        if disk.full:
            raise _sqlite_error("database or disk is full", sqlite3.SQLITE_FULL)
        disk.before_sync(database)
        disk.committing(database, _pragma(connection, "synchronous"))
        if disk.unsure is not None:
            connection.connection.commit()
            disk.unsure()
            raise _sqlite_error("disk I/O error", sqlite3.SQLITE_IOERR)

    hooks = (("connect", connected), ("begin", begin), ("commit", commit))
    with ExitStack() as stack:
        stack.enter_context(patch("os.fsync", fsync))
        stack.enter_context(patch("os.write", write))
        for name, function in hooks:
            event.listen(Engine, name, function)
            stack.callback(event.remove, Engine, name, function)
        yield


def _pragma(connection: Any, name: str) -> int:
    [value] = connection.connection.cursor().execute(f"PRAGMA {name}").fetchone()
    return int(value)


def _sqlite_error(words: str, code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(words)
    error.sqlite_errorcode = code
    return error

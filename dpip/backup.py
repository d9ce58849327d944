"""Backs a state directory up as one file, also while the controller runs, and restores it.

The file is a tar of a description, the keys, the images, and last the databases. The database is copied
first, as of one commit. Files of images never change, and are removed only with their workload, after its row
says that it is deleted; a workload that is deleted while its images are being read is deleted in the copy as
well. So every row of the copy has its file; other files are removed as orphans when the restored service
starts.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO

from attrs import frozen
from filelock import FileLock, Timeout

from dpip import __version__
from dpip.datastore import migrate
from dpip.datastore.engine import sync_folder, writing
from dpip.datastore.schema import workloads
from dpip.datastore.workloads import bury
from dpip.errors import Conflict, Malformed, NotFound

DATABASE = "dpip.sqlite"
_TELEMETRY = "telemetry.sqlite"
_IMAGES = "images"
_ABOUT = "dpip-backup.json"
_KEYS = ("authority.pem", "server.pem", "join-token", "join-token.former", "api-token", "admin-password")
_LOCK = "lock"
_RESTORING = ".restoring-"
_ROWS = 10_000


@frozen
class Saved:
    """The contents of a backup: how many images, and their bytes."""

    images: int
    size: int


def back_up(state: Path, to: Path) -> Saved:
    """Write the state directory to a new file, which gets its name only when it is whole.

    Raises NotFound when there is no DPIP in the directory, or no folder for the file; Conflict when the file
    is there already.
    """
    if not (state / DATABASE).exists():
        raise NotFound(f"There is no DPIP in {state}. Say with --state-dir where the service's state is.")
    if to.exists():
        raise Conflict(f"{to} is there already: nothing is written over it.")
    if not to.absolute().parent.is_dir():
        raise NotFound(f"There is no folder {to.absolute().parent} for the backup: make it first.")
    unfinished = to.with_name(to.name + ".unfinished")
    try:
        with (
            TemporaryDirectory(prefix=".dpip-", dir=to.absolute().parent) as folder,
            open(unfinished, "xb", opener=_private) as file,
        ):
            saved = _write(state, Path(folder), file)
            file.flush()
            os.fsync(file.fileno())
        unfinished.rename(to)
    except FileExistsError:
        raise Conflict(
            f"{unfinished} is there: another backup is being written, or was broken off."
        ) from None
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise
    sync_folder(to.absolute().parent)
    return saved


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def _write(state: Path, folder: Path, file: IO[bytes]) -> Saved:
    copy = folder / DATABASE
    migrate.copy_database(state / DATABASE, copy)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        _add_bytes(tar, _ABOUT, json.dumps(_about(copy)).encode())
        for name in _KEYS:
            if (state / name).exists():
                _add(tar, name, state / name)
        saved, gone = _add_images(tar, state, copy)
        if gone:
            _bury(copy, gone)
        if (state / _TELEMETRY).exists():
            migrate.copy_database(state / _TELEMETRY, folder / _TELEMETRY)
            _add(tar, _TELEMETRY, folder / _TELEMETRY)
        _add(tar, DATABASE, copy)
    return saved


def _about(copy: Path) -> dict[str, object]:
    with closing(sqlite3.connect(copy)) as database:
        [revision] = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return {"format": 1, "version": __version__, "revision": revision, "made_at": time.time()}


def _add_images(tar: tarfile.TarFile, state: Path, copy: Path) -> tuple[Saved, set[str]]:
    """Add the images; also the workloads that were deleted meanwhile. Raises NotFound for a missing file."""
    images, size, gone = 0, 0, set[str]()
    for workload, path in _paths(copy):
        if workload in gone:
            continue
        try:
            size += _add(tar, f"{_IMAGES}/{path}", state / _IMAGES / path)
            images += 1
        except FileNotFoundError:
            if _is_present(state, workload):
                raise NotFound(
                    f"{state / _IMAGES / path} is missing, though workload {workload} has it."
                ) from None
            gone.add(workload)
    return Saved(images, size), gone


def _paths(database: Path) -> Iterator[tuple[str, str]]:
    """Every image as ``(workload, path)``."""
    last = 0
    with closing(sqlite3.connect(database)) as connection:
        while rows := connection.execute(
            "SELECT i.id, w.public, i.path FROM images i JOIN workloads w ON w.id = i.workload_id"
            " WHERE i.id > ? AND w.deleted IS NULL ORDER BY i.id LIMIT ?",
            (last, _ROWS),
        ).fetchall():
            yield from ((workload, path) for _, workload, path in rows)
            last = rows[-1][0]


def _is_present(state: Path, workload: str) -> bool:
    """Whether the service still has this workload."""
    present = "SELECT 1 FROM workloads WHERE public = ? AND deleted IS NULL"
    with closing(sqlite3.connect(state / DATABASE)) as database:
        return database.execute(present, (workload,)).fetchone() is not None


def _bury(copy: Path, gone: set[str]) -> None:
    engine = writing(copy)
    try:
        with engine.begin() as connection:
            bury(connection, workloads.c.public.in_(gone), time.time())
    finally:
        engine.dispose()


def _add(tar: tarfile.TarFile, name: str, path: Path) -> int:
    """Add a file; its size."""
    with open(path, "rb") as file:
        info = _member(name, os.fstat(file.fileno()).st_size)
        tar.addfile(info, file)
    return info.size


def _add_bytes(tar: tarfile.TarFile, name: str, data: bytes) -> None:
    tar.addfile(_member(name, len(data)), BytesIO(data))


def _member(name: str, size: int) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, int(time.time())
    return info


# Restoring


def restore(file: Path, state: Path, replace: bool = False) -> Saved:
    """Make a state directory of a backup. With ``replace``, what is there is moved into a folder of it, but
    only when the backup has proved to be whole.

    Raises Conflict when a controller uses the directory, or something is in it; Malformed when the file is no
    backup, or one of a later version.
    """
    with _backup(file) as tar:
        _check_version(file, tar)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state):
            _check_empty(state, replace)
            with TemporaryDirectory(prefix=_RESTORING, dir=state) as folder:
                saved = _unpack(file, tar, Path(folder))
                os.sync()
                _set_aside(state)
                _move_in(Path(folder), state)
            sync_folder(state)
    return saved


def _unpack(file: Path, tar: tarfile.TarFile, folder: Path) -> Saved:
    images, size = 0, 0
    for member in tar:
        _extract(tar, member, folder)
        if member.name.startswith(f"{_IMAGES}/"):
            images, size = images + 1, size + member.size
    if not (folder / DATABASE).exists():
        raise Malformed(f"{file} ends before its database: it was cut short.")
    _check_files(folder)
    return Saved(images, size)


@contextmanager
def _backup(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r:") as tar:
            yield tar
    except FileNotFoundError:
        raise NotFound(f"There is no file {file}.") from None
    except tarfile.TarError as error:
        raise Malformed(f"{file} is no backup of DPIP, or is damaged: {error}.") from None


def _check_version(file: Path, tar: tarfile.TarFile) -> None:
    first = tar.next()
    if first is None or first.name != _ABOUT:
        raise Malformed(f"{file} is no backup of DPIP.")
    about = json.loads(_content(tar, first).read())
    if about["format"] != 1 or about["revision"] > migrate.HEAD:
        raise Malformed(
            f"{file} was made by DPIP {about['version']}: restore it with that version or a later one."
        )


@contextmanager
def _locked(state: Path) -> Iterator[None]:
    try:
        with FileLock(state / _LOCK, blocking=False):
            yield
    except Timeout:
        raise Conflict(
            f"{state} is in use by a controller. End it first, or use another --state-dir."
        ) from None


def _contents(state: Path) -> list[Path]:
    return [path for path in state.iterdir() if path.name != _LOCK and not path.name.startswith(_RESTORING)]


def _check_empty(state: Path, replace: bool) -> None:
    if not replace and _contents(state):
        raise Conflict(
            f"{state} is not empty. Use another --state-dir, or --replace, which moves what is there into a "
            "folder of it."
        )


def _set_aside(state: Path) -> None:
    if contents := _contents(state):
        aside = state / time.strftime("replaced-%Y%m%d-%H%M%S")
        aside.mkdir(mode=0o700)
        for path in contents:
            path.rename(aside / path.name)


def _move_in(folder: Path, state: Path) -> None:
    """Move the files to their places, the database last: a controller that finds it finds everything."""
    for path in sorted(folder.iterdir(), key=lambda path: path.name == DATABASE):
        path.rename(state / path.name)


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path) -> None:
    parts = PurePosixPath(member.name).parts
    known = member.name in (*_KEYS, _TELEMETRY, DATABASE, _ABOUT) or (
        parts[0] == _IMAGES and ".." not in parts
    )
    if not member.isreg() or not known:
        raise Malformed(f"{member.name!r} is nothing that a backup of DPIP holds.")
    if member.name == _ABOUT:
        return
    target = folder / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(target, "xb", opener=_private) as file:
        shutil.copyfileobj(_content(tar, member), file)


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise Malformed(f"{member.name!r} is not a file.")
    return content


def _check_files(folder: Path) -> None:
    for _, path in _paths(folder / DATABASE):
        if not (folder / _IMAGES / path).exists():
            raise Malformed(f"The backup is not whole: {path} is missing.")

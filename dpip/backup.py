"""Backs a state directory up as one file, also while the controller runs, and restores it.

The file is a tar: what it is, the keys, the images, the databases, and last the SHA-256 of each of these. All
are compared before anything is moved. The database is copied first, as of one commit. Files of images never
change and are only ever removed with their workload, after the database says so; a workload that goes while
its images are being read goes from the copy as well. So every row of the copy has its file, and files beyond
that are swept when the restored service starts.
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
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from attrs import define, field, frozen
from filelock import FileLock, Timeout

from dpip import __version__
from dpip.datastore import migrate
from dpip.datastore.engine import writing
from dpip.datastore.schema import workloads
from dpip.datastore.workloads import bury
from dpip.errors import Conflict, Malformed, NotFound
from dpip.runtime.platform import sync, sync_folder

DATABASE = "dpip.sqlite"
_TELEMETRY = "telemetry.sqlite"
_IMAGES = "images"
_ABOUT = "dpip-backup.json"
_HASHES = "sha256.json"
_FORMAT = 2
"""1 had no hashes but those of images, in the database."""
_KEYS = ("authority.pem", "server.pem", "join-token", "join-token.former", "api-token", "admin-password")
_LOCK = "lock"
_RESTORING = ".restoring-"
_ROWS = 10_000
_PIECE = 1 << 20


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
            sync(file.fileno())
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
        archive = _Archive(tar)
        archive.add_bytes(_ABOUT, json.dumps(_about(copy)).encode())
        for name in _KEYS:
            if (state / name).exists():
                archive.add_file(name, state / name)
        saved, gone = _add_images(archive, state, copy)
        if gone:
            _bury(copy, gone)
        if (state / _TELEMETRY).exists():
            migrate.copy_database(state / _TELEMETRY, folder / _TELEMETRY)
            archive.add_file(_TELEMETRY, folder / _TELEMETRY)
        archive.add_file(DATABASE, copy)
        archive.add_bytes(_HASHES, json.dumps(archive.hashes).encode())
    return saved


class _HashingReader:
    """Hashes what is read from a file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._hash = sha256()

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self._hash.update(data)
        return data

    def hexdigest(self) -> str:
        return self._hash.hexdigest()


@define
class _Archive:
    """A tar that is being written; ``hashes`` are those of its members."""

    tar: tarfile.TarFile
    hashes: dict[str, str] = field(factory=dict)

    def add_file(self, name: str, path: Path) -> int:
        """Returns its size in bytes."""
        with open(path, "rb") as file:
            return self._add(name, os.fstat(file.fileno()).st_size, file)

    def add_bytes(self, name: str, data: bytes) -> None:
        self._add(name, len(data), BytesIO(data))

    def _add(self, name: str, size: int, content: IO[bytes]) -> int:
        info = tarfile.TarInfo(name)
        info.size, info.mode, info.mtime = size, 0o600, int(time.time())
        reader: Any = _HashingReader(content)
        self.tar.addfile(info, reader)
        self.hashes[name] = reader.hexdigest()
        return size


def _about(copy: Path) -> dict[str, object]:
    with closing(sqlite3.connect(copy)) as database:
        [revision] = database.execute("SELECT version_num FROM alembic_version").fetchone()
    return {"format": _FORMAT, "version": __version__, "revision": revision, "made_at": time.time()}


def _add_images(archive: _Archive, state: Path, copy: Path) -> tuple[Saved, set[str]]:
    """Add the images; also the workloads that were deleted meanwhile. Raises NotFound for a missing file."""
    images, size, gone = 0, 0, set[str]()
    for workload, path, _ in _paths(copy):
        if workload in gone:
            continue
        try:
            size += archive.add_file(f"{_IMAGES}/{path}", state / _IMAGES / path)
            images += 1
        except FileNotFoundError:
            if _is_present(state, workload):
                raise NotFound(
                    f"{state / _IMAGES / path} is missing, though workload {workload} has it."
                ) from None
            gone.add(workload)
    return Saved(images, size), gone


def _paths(database: Path) -> Iterator[tuple[str, str, str]]:
    """Every image as ``(workload, path, SHA-256)``."""
    last = 0
    with closing(sqlite3.connect(database)) as connection:
        while rows := connection.execute(
            "SELECT i.id, w.public, i.path, i.sha256 FROM images i JOIN workloads w ON w.id = i.workload_id"
            " WHERE i.id > ? AND w.deleted IS NULL ORDER BY i.id LIMIT ?",
            (last, _ROWS),
        ).fetchall():
            yield from (row[1:] for row in rows)
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


# Restoring


def verify(file: Path) -> Saved:
    """Read the whole backup and compare every hash. Raises NotFound, Malformed."""
    with _backup(file) as tar, TemporaryDirectory(prefix=_RESTORING, dir=file.absolute().parent) as folder:
        return _unpack(file, tar, _format(file, tar), Path(folder), keep_images=False)


def restore(file: Path, state: Path, replace: bool = False) -> Saved:
    """Make a state directory of a backup. With ``replace``, what is there is moved into a folder of it, but
    only when the backup has proved to be whole.

    Raises Conflict when a controller uses the directory, or something is in it; Malformed when the file is no
    backup, or one of a later version.
    """
    with _backup(file) as tar:
        format = _format(file, tar)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state):
            _check_empty(state, replace)
            with TemporaryDirectory(prefix=_RESTORING, dir=state) as folder:
                saved = _unpack(file, tar, format, Path(folder))
                os.sync()
                _set_aside(state)
                _move_in(Path(folder), state)
            sync_folder(state)
    return saved


def _unpack(file: Path, tar: tarfile.TarFile, format: int, folder: Path, keep_images: bool = True) -> Saved:
    """Write every member into the folder, then compare all hashes. Raises Malformed."""
    images, size = 0, 0
    hashes: dict[str, str] = {}
    recorded: dict[str, str] | None = None
    for member in tar:
        if member.name == _HASHES:
            recorded = json.loads(_content(tar, member).read())
            continue
        is_image = member.name.startswith(f"{_IMAGES}/")
        hashes[member.name] = _extract(tar, member, folder if keep_images or not is_image else None)
        if is_image:
            images, size = images + 1, size + member.size
    if not (folder / DATABASE).exists():
        raise Malformed(f"{file} ends before its database: it was cut short.")
    if format == _FORMAT and recorded is None:
        raise Malformed(f"{file} ends before its hashes: it was cut short.")
    _check_hashes(file, hashes, recorded, folder)
    return Saved(images, size)


def _check_hashes(file: Path, found: dict[str, str], recorded: dict[str, str] | None, folder: Path) -> None:
    for _, path, image_hash in _paths(folder / DATABASE):
        name = f"{_IMAGES}/{path}"
        if name not in found:
            raise Malformed(f"The backup is not whole: {path} is missing.")
        if recorded is None and found[name] != image_hash:
            raise Malformed(f"{file} is damaged: {path} is not what was backed up.")
    for name, recorded_hash in (recorded or {}).items():
        if found.get(name) != recorded_hash:
            raise Malformed(f"{file} is damaged: {name} is not what was backed up.")


@contextmanager
def _backup(file: Path) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(file, mode="r:") as tar:
            yield tar
    except FileNotFoundError:
        raise NotFound(f"There is no file {file}.") from None
    except (tarfile.TarError, sqlite3.DatabaseError, ValueError, KeyError, TypeError) as error:
        raise Malformed(f"{file} is no backup of DPIP, or is damaged: {error}.") from None


def _format(file: Path, tar: tarfile.TarFile) -> int:
    """The format of the backup, whose first member says it. Raises Malformed for one of a later version."""
    first = tar.next()
    if first is None or first.name != _ABOUT:
        raise Malformed(f"{file} is no backup of DPIP.")
    about = json.loads(_content(tar, first).read())
    if about["format"] not in range(1, _FORMAT + 1) or about["revision"] > migrate.HEAD:
        raise Malformed(
            f"{file} was made by DPIP {about['version']}: restore it with that version or a later one."
        )
    return int(about["format"])


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


def _extract(tar: tarfile.TarFile, member: tarfile.TarInfo, folder: Path | None) -> str:
    """The member's hash; its content goes into the folder, if there is one."""
    parts = PurePosixPath(member.name).parts
    known = member.name in (*_KEYS, _TELEMETRY, DATABASE, _ABOUT) or (
        parts[0] == _IMAGES and ".." not in parts
    )
    if not member.isreg() or not known:
        raise Malformed(f"{member.name!r} is nothing that a backup of DPIP holds.")
    content = _HashingReader(_content(tar, member))
    if folder is None or member.name == _ABOUT:
        while content.read(_PIECE):
            """Only its hash is wanted."""
        return content.hexdigest()
    target = folder / member.name
    target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with open(target, "xb", opener=_private) as file:
        shutil.copyfileobj(content, file)
    return content.hexdigest()


def _content(tar: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes]:
    content = tar.extractfile(member)
    if content is None:
        raise Malformed(f"{member.name!r} is not a file.")
    return content

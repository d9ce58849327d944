"""Backs a state directory up as one file, also while the controller runs, and restores it.

The file is a tar: what it is, the keys, the images, the databases, and last the SHA-256 of each of these. All
are compared before anything is moved. The database is copied first, as of one commit. Files of images never
change and are only ever removed with their workload, after the database says so; a workload that goes while
its images are being read goes from the copy as well. So every row of the copy has its file, and files beyond
that are swept when the restored service starts.

The backup of a service on PostgreSQL is the same: its rows are copied to a SQLite file. So a backup may be
restored to either.
"""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
import tarfile
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from hashlib import sha256
from io import BytesIO
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import IO, Any

from attrs import Factory, define, field, frozen
from filelock import FileLock, Timeout
from sqlalchemy import Connection, Engine, select

from dpip import __version__
from dpip.datastore import migrate, shared_secrets
from dpip.datastore.database import SqliteDatabase
from dpip.datastore.engine import reading, writing
from dpip.datastore.leadership import Leadership
from dpip.datastore.postgres import PostgresDatabase
from dpip.datastore.schema import workloads
from dpip.datastore.transfer import copy_rows
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


@frozen
class Service:
    """What a service keeps: its state directory, its image store (by default in that), and its database where
    that is not a file in the state directory."""

    state: Path
    store: Path = field(default=Factory(lambda self: self.state / _IMAGES, takes_self=True))
    database: PostgresDatabase | None = None

    def copy_database(self, copy: Path) -> None:
        if self.database is None:
            migrate.copy_database(self.state / DATABASE, copy)
        else:
            dump(self.database, copy)

    def keys(self) -> Mapping[str, bytes]:
        """The files of keys and tokens."""
        found = {name: (self.state / name).read_bytes() for name in _KEYS if (self.state / name).exists()}
        if self.database is not None:
            with _connected(self.database.reading(1)) as connection:
                found |= shared_secrets.read(connection)
        return found

    def is_present(self, workload: str) -> bool:
        """Whether the service still has this workload."""
        database = self.database or SqliteDatabase(self.state / DATABASE)
        with _connected(database.reading(1)) as connection:
            present = workloads.c.deleted.is_(None) & (workloads.c.public == workload)
            return connection.scalar(select(workloads.c.id).where(present)) is not None


@contextmanager
def _connected(engine: Engine) -> Iterator[Connection]:
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()


def dump(database: PostgresDatabase, copy: Path) -> None:
    """Write the rows of a PostgreSQL database to a new SQLite file."""
    migrate.prepare(copy)
    target = writing(copy, synchronous="OFF")
    try:
        with _connected(database.reading(1)) as source, target.begin() as connection:
            copy_rows(source, connection)
    finally:
        target.dispose()


def load(file: Path, database: PostgresDatabase, keys: Mapping[str, bytes]) -> int:
    """Copy the rows of a SQLite file, and the keys, to a PostgreSQL database that has none; how many rows.

    Raises Conflict when there are rows, or a controller uses the database; UnusableDatabase, RetryLater.
    """
    migrate.prepare(file)
    leading = PostgresDatabase(database.url, Leadership())
    if not leading.lead():
        raise Conflict("A controller uses the database. End it first, or name another database.")
    assert leading.leadership is not None
    try:
        leading.prepare()
        with _connected(reading(file, 1)) as source, leading.writing().begin() as target:
            count = copy_rows(source, target)
            shared = {name: keys[name] for name in shared_secrets.NAMES if name in keys}
            shared_secrets.keep(target, shared)
    finally:
        leading.leadership.resign()
    return count


def back_up(service: Service, to: Path) -> Saved:
    """Write what a service has to a new file, which gets its name only when it is whole.

    Raises NotFound when there is no DPIP in the directory, or no folder for the file; Conflict when the file
    is there already.
    """
    state = service.state
    if service.database is None and not (state / DATABASE).exists():
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
            saved = _write(service, Path(folder), file)
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


def _write(service: Service, folder: Path, file: IO[bytes]) -> Saved:
    state, copy = service.state, folder / DATABASE
    service.copy_database(copy)
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as tar:
        archive = _Archive(tar)
        archive.add_bytes(_ABOUT, json.dumps(_about(copy)).encode())
        for name, value in service.keys().items():
            archive.add_bytes(name, value)
        saved, gone = _add_images(archive, service, copy)
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


def _add_images(archive: _Archive, service: Service, copy: Path) -> tuple[Saved, set[str]]:
    """Add the images; also the workloads that were deleted meanwhile. Raises NotFound for a missing file."""
    images, size, gone = 0, 0, set[str]()
    for workload, path, _ in _paths(copy):
        if workload in gone:
            continue
        try:
            size += archive.add_file(f"{_IMAGES}/{path}", service.store / path)
            images += 1
        except FileNotFoundError:
            if service.is_present(workload):
                raise NotFound(
                    f"{service.store / path} is missing, though workload {workload} has it."
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


def restore(file: Path, service: Service, replace: bool = False) -> Saved:
    """Make a service of a backup. With ``replace``, what is in the state directory is moved into a folder of
    it, but only when the backup has proved to be whole. A PostgreSQL database must be empty, and an image
    store elsewhere.

    Raises Conflict when a controller uses the service, or something is in it; Malformed when the file is no
    backup, or one of a later version.
    """
    state = service.state
    elsewhere = service.store != state / _IMAGES
    if elsewhere and service.store.exists() and any(service.store.iterdir()):
        raise Conflict(f"{service.store} is not empty. Use another --store.")
    with _backup(file) as tar:
        format = _format(file, tar)
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _locked(state):
            _check_empty(state, replace)
            with TemporaryDirectory(prefix=_RESTORING, dir=state) as folder:
                saved = _unpack(file, tar, format, Path(folder))
                if service.database is not None:
                    load(Path(folder) / DATABASE, service.database, Service(Path(folder)).keys())
                    (Path(folder) / DATABASE).unlink()
                os.sync()
                _set_aside(state)
                if elsewhere and (Path(folder) / _IMAGES).exists():
                    service.store.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copytree(Path(folder) / _IMAGES, service.store, dirs_exist_ok=True)
                    shutil.rmtree(Path(folder) / _IMAGES)
                    os.sync()
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


# From one database to another


def move(state: Path, database: PostgresDatabase) -> int:
    """Copy the rows and keys of a service that does not run to a PostgreSQL database; how many rows.

    The state directory stays as it is. Raises NotFound when there is no DPIP in it, and as :func:`load` does.
    """
    if not (state / DATABASE).exists():
        raise NotFound(f"There is no DPIP in {state}. Say with --state-dir where the service's state is.")
    with _locked(state):
        return load(state / DATABASE, database, Service(state).keys())

"""Files of pictures: atomic, durable, one directory per workload.

::

    <root>/incoming/<random>                                    uploads under way
    <root>/desks/<random>/…                                     results from workers on this machine
    <root>/<workload>/originals|results/<image id>.<random>.<ext>

Nobody is told of a file, and no row refers to it, before its bytes and its name are on the disk. A crash may
leave a name with half of the bytes: the sweep removes it. No name here comes from a client, and no symbolic
link below the root is followed.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import time
import unicodedata
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from twisted.application.service import Service
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.errors import NotFound, RetryLater
from dpip.filters.codec.headers import PictureInfo, probe
from dpip.filters.memory import memory_needed
from dpip.filters.output import BY_NAME
from dpip.filters.result_size import result_bytes
from dpip.interfaces import IImageStore, IIncomingFile
from dpip.model import ImageType, StoredFile, StoredPicture, WorkloadSpec
from dpip.runtime.coroutines import deferred
from dpip.runtime.platform import sync, sync_folder
from dpip.runtime.threads import FromThreads, MakeThreads, RealThreads, Threads, in_thread
from dpip.store import orphans
from dpip.store.disk_space import MIB, DiskSpace
from dpip.store.incoming import (
    IncomingContent,
    IncomingFile,
    TemporaryFile,
    UploadMemory,
    os_errors_explained,
)
from dpip.store.local_transfer import TransferDirectory
from dpip.store.writing import StorePlace, StoreWriter, Write

T = TypeVar("T")

INCOMING = "incoming"
_TRANSFERS = "desks"  # its name since the first version
_FOLDERS = {ImageType.ORIGINAL: "originals", ImageType.FILTERED: "results"}
_SLUG = 40  # characters of a workload's name in its directory's
_OURS = re.compile(r"[a-z0-9-]{1,40}-[0-9a-z]{26}", re.ASCII)  # what :func:`directory_for` makes
_DURABLE_NAMES = 10_000
_UNKNOWN_FACTOR = 20  # bytes for each of the decoded picture: the most that filters of ours take
_LARGE_LANES = 2  # an fsync of a large file may take long: small ones never wait for it
_IN_MEMORY = 32 * MIB
_READERS = 2
_STEPS = {"", ".", ".."}  # names that lead elsewhere
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def _make_directory(name: str, parent: int) -> bool:
    """Whether it was not there before."""
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        return False
    return True


def _closed() -> RetryLater:
    return RetryLater("The server is shutting down.")


def read_exactly(path: str, start: int, length: int) -> bytes:
    """Read ``length`` bytes from ``start`` on. Raises NotFound, and OSError when there are fewer."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        raise NotFound("The image is gone.") from None
    try:
        data = os.pread(descriptor, length, start)
    finally:
        os.close(descriptor)
    if len(data) != length:
        raise OSError(f"{path!r} is shorter than its record says")
    return data


def directory_for(workload_name: str, workload_id: str) -> str:
    """A directory name that people can read, safe on every filesystem, and like no other workload's.

    Lower-case ASCII letters, digits and hyphens only; at most 40 of them, and the id.
    """
    plain = unicodedata.normalize("NFKD", workload_name).encode("ascii", "ignore").decode().lower()
    slug = re.sub(r"[^a-z0-9]+", "-", plain)[:_SLUG].strip("-")
    return f"{slug or 'workload'}-{workload_id}"


def _component(name: str) -> str:
    """The name, which leads one step down from the root into a workload's directory. Raises ValueError."""
    if name in _STEPS or name == INCOMING or "/" in name or "\0" in name:
        raise ValueError(f"not the name of a workload's directory: {name!r}")
    return name


def _content_of(incoming: IIncomingFile) -> IncomingContent:
    assert isinstance(incoming, IncomingFile | TemporaryFile)
    return incoming.hand_over()


def directory_of(path: str) -> str:
    """The workload's directory of a stored file's path."""
    return path.partition("/")[0]


@implementer(IImageStore)
class ImageStore(Service):
    """The store at ``root``, which the paths of stored files are relative to.

    ``floor`` bytes of its disk stay free for what must not be refused, see :class:`DiskSpace`.
    ``probe(path or bytes)`` reads a picture's header; ``disk_usage(path)`` is as :func:`shutil.disk_usage`.
    """

    log = Logger()

    def __init__(
        self,
        root: Path,
        reactor: FromThreads,
        make_threads: MakeThreads = RealThreads,
        probe: Callable[[str | bytes], PictureInfo] = probe,
        floor: int = 512 * MIB,
        disk_usage: Callable[[str], tuple[int, int, int]] = shutil.disk_usage,
        monotonic: Callable[[], float] = time.monotonic,
        token: Callable[[int], str] = secrets.token_hex,
    ) -> None:
        self.root = os.path.realpath(root)
        self._reactor = reactor
        self._probe = probe
        self._token = token
        self._writers: Threads = make_threads(1, "images-write")
        self._large_writers: Threads = make_threads(_LARGE_LANES, "images-write-large")
        self._small = self._writer(self._writers, 1)
        self._large = self._writer(self._large_writers, _LARGE_LANES)
        self._memory = UploadMemory(_IN_MEMORY)
        self._readers: Threads = make_threads(_READERS, "images-read")
        self._tidiers: Threads = make_threads(1, "images-tidy")  # deleting much never delays a result
        self.space = DiskSpace(lambda: disk_usage(self.root)[::2], monotonic, floor)
        self._durable: set[str] = set()
        self._has_transfer_directories = False

    def _writer(self, threads: Threads, lanes: int) -> StoreWriter:
        return StoreWriter(self._reactor, threads, self._probe, self._open_folder, self._name_for, lanes)

    def startService(self) -> None:
        for folder in (self.root, os.path.join(self.root, INCOMING)):
            os.makedirs(folder, mode=0o700, exist_ok=True)
        for folder in (self.root, os.path.dirname(self.root)):  # what all stored files lie below
            sync_folder(folder)
        for threads in self._all_threads():
            threads.start()
        super().startService()

    def stopService(self) -> None:
        """Stop, and return when files that were being made durable are so."""
        super().stopService()
        for threads in self._all_threads():
            threads.stop()

    def _all_threads(self) -> tuple[Threads, ...]:
        return self._writers, self._large_writers, self._readers, self._tidiers

    # Files come in

    def incoming(self) -> IncomingFile:
        return IncomingFile(self.temporary_file, self._memory)

    def temporary_file(self) -> TemporaryFile:
        """Make a file that has a path from the beginning. Raises DiskFull, RetryLater."""
        return TemporaryFile(self._new_name())

    def _new_name(self) -> str:
        return os.path.join(self.root, INCOMING, self._token(16))

    def open_transfer_directory(self) -> TransferDirectory:
        """Make a directory for a worker that may be on this machine. Only the controller does: with the first
        it removes those of an earlier start, whose workers will join anew. Raises DiskFull, RetryLater."""
        directories = os.path.join(self.root, _TRANSFERS)
        if not self._has_transfer_directories:
            shutil.rmtree(directories, ignore_errors=True)
            self._has_transfer_directories = True
        return TransferDirectory.open(os.path.join(directories, self._token(16)), self._new_name)

    def close_transfer_directory(self, directory: TransferDirectory) -> Deferred[None]:
        """Remove it, with what is left there, in a thread."""
        return self._tidy(directory.remove)

    def keep(
        self,
        incoming: IIncomingFile,
        directory: str,
        type: ImageType,
        image_id: str,
        max_pixels: int,
        spec: WorkloadSpec | None = None,
    ) -> Deferred[StoredFile]:
        kept = self.keep_many([(incoming, directory, type, image_id)], max_pixels, spec)
        return kept.addCallback(lambda outcomes: outcomes[0])  # a Failure fails it

    def keep_many(
        self,
        files: Sequence[tuple[IIncomingFile, str, ImageType, str]],
        max_pixels: int,
        spec: WorkloadSpec | None = None,
    ) -> Deferred[Sequence[StoredFile | Failure]]:
        if not self.running:
            for incoming, *_ in files:
                incoming.abandon()
            return fail(_closed())
        picture_of = partial(_picture, spec=spec, max_pixels=max_pixels)
        writes = [
            Write(_content_of(incoming), StorePlace(directory, type, image_id), max_pixels, picture_of)
            for incoming, directory, type, image_id in files
        ]
        writer = self._small if all(write.content.is_small for write in writes) else self._large
        return writer.write(writes).addCallback(lambda done: [write.outcome for write in done])

    def _name_for(self, image_id: str, format: str) -> str:
        return f"{image_id}.{self._token(2)}{BY_NAME[format].extensions[0]}"

    def _open_folder(self, directory: str, type: ImageType) -> tuple[int, str]:
        """Return a descriptor of the folder and its path; see :meth:`_folder`."""
        kind = _FOLDERS[type]
        return self._folder(directory, kind), f"{directory}/{kind}"

    def _folder(self, directory: str, kind: str) -> int:
        """A descriptor of the folder, after every name from the root to it has been made durable."""
        if f"{directory}/{kind}" in self._durable:
            with suppress(FileNotFoundError):  # its workload has been deleted meanwhile
                return os.open(os.path.join(self.root, directory, kind), _FOLDER)
        root = os.open(self.root, _FOLDER)
        try:
            outer = self._descend(root, directory, directory)
            try:
                return self._descend(outer, kind, f"{directory}/{kind}")
            finally:
                os.close(outer)
        finally:
            os.close(root)

    def _descend(self, parent: int, name: str, path: str) -> int:
        made = _make_directory(_component(name), parent)
        if made or path not in self._durable:  # another thread may have made it, and not synced yet
            sync(parent)
            if len(self._durable) >= _DURABLE_NAMES:
                self._durable.clear()
            self._durable.add(path)
        return os.open(name, _FOLDER, dir_fd=parent)

    # Files are read and removed

    def absolute(self, path: str) -> str:
        """Raises NotFound for a path that leads out of the store, by its parts or by a link."""
        folder, _, name = path.rpartition("/")
        if folder in self._durable and name not in _STEPS:  # we have made every folder on the path
            direct = os.path.join(self.root, path)
            if not os.path.islink(direct):
                return direct
        if "\0" not in path:
            real = os.path.realpath(os.path.join(self.root, path))
            if real.startswith(self.root + os.sep):
                return real
        raise NotFound("There is no such file in the store.")

    def read(self, path: str, start: int, length: int) -> Deferred[bytes]:
        return self._in_thread(self._readers, lambda: read_exactly(self.absolute(path), start, length))

    def discard(self, path: str) -> Deferred[None]:
        return self._tidy(self._unlink, path)

    def _unlink(self, path: str) -> None:
        absolute = self.absolute(os.path.dirname(path))
        with os_errors_explained(), suppress(FileNotFoundError):
            os.unlink(os.path.join(absolute, os.path.basename(path)))

    def discard_directory(self, directory: str) -> Deferred[None]:
        return self._tidy(self._remove_tree, directory)

    def _remove_tree(self, directory: str) -> None:
        """Remove file by file, so that a shutdown need not wait for 100,000 of them: the next sweep goes on.

        ``rmtree`` follows no link, and refuses to begin at one.
        """
        with os_errors_explained(), suppress(FileNotFoundError):
            for path in orphans.files(self.root, _component(directory), _FOLDERS.values()):
                if not self.running:
                    return
                os.unlink(os.path.join(self.root, path))
            shutil.rmtree(os.path.join(self.root, directory))

    @deferred
    async def sweep(
        self,
        directories: Callable[[], Deferred[frozenset[str]]],
        paths: Callable[[str], Deferred[frozenset[str]]],
        before: float,
    ) -> int:
        """Remove orphans that have not been touched since ``before``; how many they were.

        A file gets its row after its name, so each listing is made before the rows are asked for, and
        ``before`` is longer ago than the slowest upload takes, unless nobody uploads. The two functions are
        the datastore's.
        """
        removed = await self._tidy(orphans.remove_old, os.path.join(self.root, INCOMING), before)
        present = await self._tidy(orphans.folders, self.root, _OURS)
        known = await directories()
        for directory in present:
            path = os.path.join(self.root, directory)
            if directory not in known:
                removed += await self._tidy(orphans.remove_old_tree, path, before)
                continue
            files = await self._tidy(orphans.files, self.root, directory, _FOLDERS.values())
            rows = await paths(directory)
            removed += await self._tidy(orphans.remove_unknown, self.root, files, rows, before)
        return removed

    def _tidy(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        return self._in_thread(self._tidiers, function, *args)

    def _in_thread(self, threads: Threads, function: Callable[..., T], *args: Any) -> Deferred[T]:
        if not self.running:  # threads that have been stopped would never answer
            return fail(_closed())
        return in_thread(self._reactor, threads, function, *args)


def _picture(info: PictureInfo, size: int, spec: WorkloadSpec | None, max_pixels: int) -> StoredPicture:
    memory, result_bytes = _reckoned(info, size, spec, max_pixels) if spec is not None else (0, 0)
    return StoredPicture(
        *(info.format, info.content_type, info.width, info.height, memory),
        channels=min(info.channels, 4),
        bits=info.bits,
        result_bytes=result_bytes,
    )


def _reckoned(info: PictureInfo, size: int, spec: WorkloadSpec, max_pixels: int) -> tuple[int, int]:
    """Return the memory that the job takes, and the bytes that its result will have."""
    try:
        return (
            memory_needed(info, size, spec.steps, spec.output, max_pixels=max_pixels),
            result_bytes(info, size, spec.steps, spec.output),
        )
    except Exception:  # noqa: BLE001 - the filter may be a stranger's, or not here any more
        return size + _UNKNOWN_FACTOR * info.pixels * info.pixel_bytes, size

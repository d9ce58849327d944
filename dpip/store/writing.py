"""The thread that writes the store's files: it hashes, names and fsyncs all that waits, in one go.

Each hand-over between threads costs more than a small file's write, so one thread takes all files that wait,
and fsyncs each folder once for all that are new in it. A name may be there before its file is durable, and
stay there half-written after a crash: no row refers to it yet, and the sweep removes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from itertools import islice
from threading import Lock
from typing import Any, NamedTuple

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.errors import TooLarge
from dpip.filters.codec.headers import PictureInfo
from dpip.model import ImageType, StoredFile, StoredPicture
from dpip.runtime.platform import sync
from dpip.runtime.threads import FromThreads, Threads
from dpip.store.incoming import IncomingContent, os_errors_explained

AT_ONCE = 64
"""Files that are written before the first of them is fsynced: each has a descriptor until then."""


class StorePlace(NamedTuple):
    """Where a file belongs: a workload's directory, and its image's type and id."""

    directory: str
    type: ImageType
    image_id: str


@define(eq=False)
class Write:
    """One file to be written, and what becomes of it. ``picture_of(info, size)`` gives what is kept of its
    header."""

    content: IncomingContent
    place: StorePlace
    max_pixels: int
    picture_of: Callable[[PictureInfo, int], StoredPicture]
    stored: StoredFile | None = field(default=None, init=False)
    failure: Failure | None = field(default=None, init=False)
    _name: str = field(default="", init=False)
    _folder: int = field(default=-1, init=False)
    _descriptor: int = field(default=-1, init=False)

    @property
    def outcome(self) -> StoredFile | Failure:
        outcome = self.failure or self.stored
        assert outcome is not None
        return outcome

    def checked(self, probe: Callable[[str | bytes], PictureInfo]) -> tuple[str, PictureInfo]:
        """Return the hash and the picture's header. Raises WrongHash, NotAnImage, TooLarge."""
        sha256 = self.content.verified()
        info = probe(self.content.source())
        if info.pixels > self.max_pixels:
            raise TooLarge(
                f"The picture has {info.pixels:,} pixels; this server takes at most {self.max_pixels:,}.",
                pixels=info.pixels,
                limit=self.max_pixels,
            )
        return sha256, info

    def written(self, name: str, folder: int, path: str, sha256: str, info: PictureInfo) -> None:
        """Give it its name; it is not durable yet."""
        size = self.content.size
        self._descriptor = self.content.place(name, folder)
        self._name, self._folder = name, folder
        picture = self.picture_of(info, size)
        self.stored = StoredFile(path, size, sha256, picture, self.content.name)

    def sync(self) -> None:
        """Make the bytes durable. When it fails nothing is known of them, and a second try may lie."""
        sync(self._descriptor)

    @property
    def folder(self) -> int:
        return self._folder

    def close(self) -> None:
        """Take the name back if it has failed, and let everything go that is open. Raises OSError."""
        try:
            if self.failure is not None and self._name:
                os.unlink(self._name, dir_fd=self._folder)
        finally:
            if self._descriptor >= 0:
                os.close(self._descriptor)
            self.content.discard()


@define(eq=False)
class StoreWriter:
    """Writes files in one of the ``threads``, or in up to ``lanes`` of them at once.

    ``open_folder(directory, type)`` gives a descriptor of a folder whose own name is durable, and its path;
    ``new_name(image_id, format)`` a name that is new there.
    """

    log = Logger()

    _reactor: FromThreads
    _threads: Threads
    _probe: Callable[[str | bytes], PictureInfo]
    _open_folder: Callable[[str, ImageType], tuple[int, str]]
    _new_name: Callable[[str, str], str]
    _lanes: int = 1
    _lock: Lock = field(factory=Lock, init=False)
    _waiting: list[tuple[Sequence[Write], Deferred[Sequence[Write]]]] = field(factory=list, init=False)
    _busy: int = field(default=0, init=False)

    def write(self, writes: Sequence[Write]) -> Deferred[Sequence[Write]]:
        """Write the files; fires with them when all are durable or have failed. It never fails itself."""
        done: Deferred[Sequence[Write]] = Deferred()
        with self._lock:
            self._waiting.append((writes, done))
            starts = self._busy < self._lanes
            self._busy += starts
        if starts:
            self._threads.callInThread(self._drain)
        return done

    # In the thread

    def _drain(self) -> None:
        while group := self._next_group():
            every = iter([write for writes, _ in group for write in writes])
            while part := list(islice(every, AT_ONCE)):
                self._write_part(part)
            self._reactor.callFromThread(_answer, group)

    def _next_group(self) -> list[tuple[Sequence[Write], Deferred[Sequence[Write]]]]:
        with self._lock:
            group, self._waiting = self._waiting, []
            self._busy -= not group
            return group

    def _write_part(self, writes: Sequence[Write]) -> None:
        """Write all of them. What fails for one leaves the others alone, but for its folder's fsync."""
        folders: dict[tuple[str, ImageType], tuple[int, str]] = {}
        with ExitStack() as opened:
            for write in writes:
                self._attempt([write], self._place, write, folders, opened)
            for write in _unfailed(writes):
                self._attempt([write], write.sync)
            for folder, _ in folders.values():
                inside = [write for write in _unfailed(writes) if write.folder == folder]
                if inside:
                    self._attempt(inside, sync, folder)
            for write in writes:
                self._close(write)

    def _place(
        self, write: Write, folders: dict[tuple[str, ImageType], tuple[int, str]], opened: ExitStack
    ) -> None:
        directory, type, image_id = write.place
        sha256, info = write.checked(self._probe)
        known = folders.get((directory, type))
        if known is None:
            known = folders[directory, type] = self._open_folder(directory, type)
            opened.callback(os.close, known[0])
        folder, path = known
        name = self._new_name(image_id, info.format)
        write.written(name, folder, f"{path}/{name}", sha256, info)

    def _attempt(self, writes: Sequence[Write], do: Callable[..., None], *args: Any) -> None:
        """Do it; whatever it raises is the failure of these writes."""
        try:
            with os_errors_explained():
                do(*args)
        except BaseException:  # noqa: BLE001 - whatever it is, those who wait for these files hear of it
            failure = Failure()
            for write in writes:
                write.failure = failure

    def _close(self, write: Write) -> None:
        try:
            write.close()
        except OSError as error:  # the sweep removes it
            self.log.error("A file that was not kept could not be removed: {error}", error=error)


def _unfailed(writes: Sequence[Write]) -> list[Write]:
    return [write for write in writes if write.failure is None]


def _answer(group: Sequence[tuple[Sequence[Write], Deferred[Sequence[Write]]]]) -> None:
    """Answer all of them with one call in the reactor's thread."""
    for writes, done in group:
        done.callback(writes)

"""Thumbnails, which workers make when somebody asks for one; they are kept in memory for a while.

They are no jobs of the datastore, so uploads, leases and results cost nothing more. Their memory is borrowed
from the scheduler, and where none is free they wait like jobs. A thumbnail that was forgotten, or was being
made when a process died, is made when it is asked for again. A worker that transfers images over HTTP may
read the image while it makes the thumbnail.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

from attrs import Factory, define, field
from cachetools import LRUCache
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore, fail, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.errors import DpipError, NotFound, RetryLater
from dpip.filters.codec.headers import PictureInfo
from dpip.filters.memory import memory_needed
from dpip.model import Image, Lease, LeasedJob, StoredFile, WorkerInfo
from dpip.runtime.coroutines import deferred
from dpip.runtime.logs import LimitedLog
from dpip.runtime.shares import Shares

FILTER: Final = "thumbnail"
SIZE: Final = 256
"""Pixels of the longer side."""
WAIT_SECONDS: Final = 10.0
"""A client waits for so long; the thumbnail is made nevertheless, for the next that asks."""
_STEPS: Final = ((FILTER, {"size": SIZE}),)
_OUTPUT: Final = {"format": "JPEG", "quality": 80, "metadata": "strip"}
_RETRY_SECONDS: Final = 2
_WORKERS: Final = 3  # are asked, one after the other
_AT_ONCE: Final = 32  # are made at once: the workers have other things to do
_EACH: Final = 2  # … and by a worker for each of its slots: one is fetched while another is made
_PAUSE_SECONDS: Final = 0.5  # before the next look for memory, if no thumbnail ends before
_ALWAYS_8_BITS: Final = ("JPEG", "WEBP", "BMP", "GIF")  # whatever rows of earlier versions say
DECODED: Final = 2 * SIZE
"""Pixels of each side that a decoder must give at least, where it can give fewer."""
_MAX_WAITING: Final = 1_000  # may wait to be made …
_MAX_OF_USER: Final = 128  # … for one user: more than a page shows
_REMEMBERED: Final = 64 * 2**20  # bytes


class ThumbnailMaker(Protocol):
    """A joined worker."""

    session: str
    info: WorkerInfo

    def thumbnail(self, job: LeasedJob) -> Deferred[bytes]:
        """A JPEG; empty when none can be made of the picture. Raises DpipError when another should try."""


@define(eq=False)
class Thumbnails:
    """Has thumbnails made by the workers that ``makers()`` gives, and keeps up to ``limit`` bytes of them.

    ``lend(session, bytes)`` lends memory to a worker, see :meth:`dpip.interfaces.IScheduler.lend_memory`.
    """

    log = Logger()

    makers: Callable[[], Sequence[ThumbnailMaker]]
    new_nonce: Callable[[], str]
    clock: IReactorTime
    lend: Callable[[str, int], Callable[[], object] | None]
    limit: int = _REMEMBERED
    _made: LRUCache[str, bytes] = field(
        default=Factory(lambda self: LRUCache(self.limit, self._size), takes_self=True), init=False
    )
    _waiting: dict[str, list[Deferred[bytes]]] = field(factory=dict, init=False)
    _shares: Shares = field(factory=lambda: Shares(_MAX_WAITING), init=False)  # images that users wait for
    _slots: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(_AT_ONCE), init=False)
    _room: list[Deferred[None]] = field(factory=list, init=False)  # those who wait for a worker with room
    _log_line: LimitedLog = field(
        default=Factory(lambda self: LimitedLog(self.log, self.clock), takes_self=True), init=False
    )
    _lent: dict[tuple[str, str], Image] = field(factory=dict, init=False)  # by session and image id
    _busy: Counter[str] = field(factory=Counter, init=False)  # thumbnails being made, by session

    def thumbnail_of(self, image: Image, user: str = "") -> Deferred[bytes]:
        """The thumbnail as a JPEG, for that user. Raises NotFound when none can be made, RetryLater when it
        takes longer, or when the user has its share of those that wait."""
        known = self._made.get(image.id)
        if known is not None:
            return succeed(known).addCallback(_possible)
        if image.id not in self._waiting and not self._has_room(user):
            return fail(RetryLater("Many thumbnails are being made at the moment.", _RETRY_SECONDS))
        waiting: Deferred[bytes] = Deferred()
        if image.id in self._waiting:
            self._waiting[image.id].append(waiting)
        else:
            self._waiting[image.id] = [waiting]
            self._shares.take(user, 1)
            self._make(image, user)
        return waiting.addTimeout(WAIT_SECONDS, self.clock, _not_yet).addCallback(_possible)

    def lent_image(self, session: str, image_id: str) -> Image | None:
        """The image, if this worker makes its thumbnail just now."""
        return self._lent.get((session, image_id))

    def _has_room(self, user: str) -> bool:
        """Of those that wait, one user has a few dozens: others' come soon."""
        return self._shares.held(user) < _MAX_OF_USER and self._shares.has_room(user, 1)

    @deferred
    async def _make(self, image: Image, user: str) -> None:
        outcome: Any
        try:
            outcome = await self._slots.run(self._ask_workers, image)
            self._made[image.id] = outcome
        except Exception as error:  # noqa: BLE001 - whatever it is, somebody waits for it
            outcome = Failure()
            if not isinstance(error, DpipError):
                self.log.failure("The thumbnail of {image} could not be made", image=image.id)
        self._shares.give_back(user, 1)
        for waiting in self._waiting.pop(image.id):
            waiting.callback(outcome)

    async def _ask_workers(self, image: Image) -> bytes:
        asked: set[str] = set()
        while len(asked) < _WORKERS and (found := await self._with_room(asked, image)) is not None:
            maker, give_back = found
            asked.add(maker.session)
            try:
                return await self._ask_worker(maker, image)
            except DpipError as error:
                name, why = maker.info.name, error.detail
                self._log_line(f"Worker {name} made no thumbnail of {image.id}: {why}")
            finally:
                give_back()
                self._tell_those_who_wait()
        raise RetryLater("There is no worker that can make the thumbnail at the moment.", 5)

    async def _with_room(
        self, asked: set[str], image: Image
    ) -> tuple[ThumbnailMaker, Callable[[], object]] | None:
        """Wait for a worker that was not asked, and has a slot and the memory.

        Returns it with what ends the loan; None if there is no such worker, or none has room for too long.
        """
        needed = memory_for(image.file)
        end = self.clock.seconds() + WAIT_SECONDS
        while fit := self._least_busy_first(asked):
            for maker in fit:
                if self._load(maker) < _EACH and (give_back := self.lend(maker.session, needed)) is not None:
                    return maker, give_back
            if self.clock.seconds() >= end:
                return None
            waiting: Deferred[None] = Deferred()
            self._room.append(waiting)
            await waiting.addTimeout(_PAUSE_SECONDS, self.clock, lambda *_: None)
        return None

    def _tell_those_who_wait(self) -> None:
        waiting, self._room = self._room, []
        for one in waiting:
            if not one.called:
                one.callback(None)

    def _least_busy_first(self, asked: set[str]) -> list[ThumbnailMaker]:
        """The workers that were not asked, those with the fewest thumbnails for each slot first."""
        fit = [one for one in self.makers() if FILTER in one.info.filters and one.session not in asked]
        return sorted(fit, key=self._load)

    def _load(self, maker: ThumbnailMaker) -> float:
        return self._busy[maker.session] / maker.info.slots

    async def _ask_worker(self, maker: ThumbnailMaker, image: Image) -> bytes:
        lease = Lease(0, 0, self.new_nonce())  # of no job: it only names files
        job = LeasedJob(lease, image.workload_id, image, "", _STEPS, dict(_OUTPUT))
        self._lent[maker.session, image.id] = image
        self._busy[maker.session] += 1
        try:
            return await maker.thumbnail(job)
        finally:
            del self._lent[maker.session, image.id]
            self._busy[maker.session] -= 1
            self._busy += Counter()  # drops what is 0

    def _size(self, data: bytes) -> int:
        """The bytes that it counts for: at least 1 KiB, since each takes room, at most the limit."""
        return min(max(len(data), 1024), self.limit)


def memory_for(file: StoredFile) -> int:
    """Reckon the memory that the thumbnail of this file takes, however the file is coded."""
    picture = file.picture
    info = PictureInfo(
        picture.format,
        picture.width,
        picture.height,
        picture.channels,
        8 if picture.format in _ALWAYS_8_BITS else picture.bits,
        traits=frozenset({"progressive", "interlaced", "key", "spread"}),
    )
    return memory_needed(info, file.size, _STEPS, _OUTPUT, DECODED)


def _possible(data: bytes) -> bytes:
    if not data:
        raise NotFound("No thumbnail can be made of this image: it is damaged, or of an unusual kind.")
    return data


def _not_yet(result: Any, _: float) -> Any:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise RetryLater("The thumbnail is not there yet: the workers are busy.", _RETRY_SECONDS)
    return result

"""The upload pipeline: it has any number of images filtered on a server, a bounded number at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock, DeferredQueue, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client.answers import Image, Workload
from dpip.client.bounded import gather_bounded
from dpip.client.client import Client
from dpip.client.downloads import Fetched
from dpip.client.errors import OF_THE_PICTURE, ApiError, Damaged

_POLL_SECONDS: Final = 0.1
_POLL_SHARE: Final = 10
"""Asking for a large workload is slow, so the pauses are this many times as long as a request takes …"""
_LONGEST_POLL_SECONDS: Final = 1.0
"""… but no longer than this: a request that took long may have waited for a server that had stopped."""
_STALL_SECONDS: Final = 3.0
_FETCHES: Final = 3


@define(eq=False)
class Item:
    """An image to be filtered. ``key`` makes its upload idempotent, see :meth:`Client.upload`.

    ``source`` is a file, or bytes, which are released after the upload. ``taken`` is its workload and its
    place there, once this run or an earlier one has uploaded it.
    """

    name: str
    source: Path | bytes
    key: str
    taken: tuple[str, int] | None = None
    number: int = field(default=0, init=False)  # in the order of sending


class Result(Protocol):
    """A filtered image that can be fetched."""

    async def take(self, to: Path) -> Fetched:
        """Make it the file ``to``, which appears whole. Raises Damaged, OSError."""

    async def read(self) -> bytes:
        """Return its bytes. Raises Damaged, OSError."""


class Sender(Protocol):
    """Provides items, and is told the end of each by one call of ``arrived`` or ``failed``."""

    async def next(self) -> Item | None:
        """Return the next item, or None when there are no more; one call at a time."""

    def uploaded(self, item: Item, image: Image) -> None:
        """Note that the server has the item on its disk."""

    async def arrived(self, item: Item, result: Result) -> None:
        """Fetch the item's result, which is available until this returns."""

    def failed(self, item: Item, code: str, reason: str) -> None:
        """Note that the item will have no result."""


@define
class Counts:
    """How many items have got how far; ``waiting`` and ``running`` are from the server's last answer.

    Of the failed ones, ``refused`` have failed at their upload.
    """

    uploaded: int = 0
    refused: int = 0
    waiting: int = 0
    running: int = 0
    filtered: int = 0
    done: int = 0
    failed: int = 0


@frozen
class _Download:
    """A result in its workload on the server."""

    client: Client
    workload_id: str
    place: int

    async def take(self, to: Path) -> Fetched:
        return await self.client.fetch(self.workload_id, self.place, to)

    async def read(self) -> bytes:
        return await self.client.download(str(self.place), workload_id=self.workload_id)


@define(eq=False)
class _Batch:
    """A workload: ``open`` items have not ended; ``items``, by their place in it, are not filtered yet."""

    workload_id: str
    taken: int = 0
    open: int = 0
    items: dict[int, Item] = field(factory=dict)
    waiting: int = 0
    running: int = 0


@define(eq=False)
class UploadPipeline:
    """Uploads a sender's items, watches their workloads, and downloads the results.

    ``make_workload`` is called for the first item, and again after every ``batch`` items (None: one workload
    for all). With ``delete``, a completed workload is deleted, which bounds what the server keeps. With
    ``in_order``, results are handed over in the order of the items. ``window`` items are under way at a time;
    ``concurrency`` are uploaded, and as many downloaded, at once. ``changed`` is called when a count has
    changed. ``workload_ids`` are the workloads that were made, and resumed ones of earlier runs. ``stalled``
    is called with the server's reason when nothing runs though something waits, and with "" when it does.
    """

    client: Client
    clock: IReactorTime
    sender: Sender
    make_workload: Callable[[], Awaitable[Workload]]
    window: int = 500
    concurrency: int = 4
    batch: int | None = None
    delete: bool = False
    in_order: bool = False
    changed: Callable[[], object] = lambda: None
    stalled: Callable[[str], object] = lambda _: None
    engine: str = ""
    counts: Counts = field(factory=Counts, init=False)
    workload_ids: list[str] = field(factory=list, init=False)
    _batches: dict[str, _Batch] = field(factory=dict, init=False)
    _newest: _Batch | None = field(default=None, init=False)
    _lost: set[str] = field(factory=set, init=False)  # workloads of an earlier run that are gone
    _uploading: int = field(default=0, init=False)  # loops that may still bring items
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _making: DeferredLock = field(factory=DeferredLock, init=False)
    _room: DeferredSemaphore = field(init=False)
    _idle_since: float | None = field(default=None, init=False)
    _sent: int = field(default=0, init=False)
    _due: int = field(default=0, init=False)  # the next to be handed over in order …
    _early: dict[int, Item | None] = field(factory=dict, init=False)  # … and what must wait for it
    _filtered: DeferredQueue[Item | None] = field(factory=DeferredQueue, init=False)

    def __attrs_post_init__(self) -> None:
        self._room = DeferredSemaphore(self.window)

    async def run(self) -> None:
        """Return when every item has ended.

        Raises ClientError, and whatever the sender raises, when all loops have stopped.
        """
        self._uploading = self.concurrency
        loops: list[Callable[[], Awaitable[None]]] = [self._watch_workloads]
        loops += [self._upload_items] * self.concurrency + [self._download_results] * self.concurrency
        await gather_bounded(len(loops), lambda loop: loop(), loops)

    # Uploading

    async def _upload_items(self) -> None:
        while True:
            await self._room.acquire()
            item = await self._next_item()
            if item is None:
                break
            if not await self._resume(item):
                await self._upload(item)
            self.changed()
        self._room.release()
        self._uploading -= 1

    async def _next_item(self) -> Item | None:
        async with self._turn:
            item = await self.sender.next()
            if item is not None:
                item.number = self._sent
                self._sent += 1
            return item

    async def _upload(self, item: Item) -> None:
        batch = await self._batch_with_room()
        try:
            image = await self.client.upload(batch.workload_id, item.source, item.name, item.key)
        except OSError as error:
            self.counts.refused += 1
            self._fail(batch, item, "unreadable", error.strerror or str(error))
        except ApiError as error:
            if error.code not in OF_THE_PICTURE:
                raise
            self.counts.refused += 1
            self._fail(batch, item, error.code, str(error))
        else:
            self._note_upload(batch, item, image.seq)
            if isinstance(item.source, bytes):
                item.source = b""
            self.sender.uploaded(item, image)

    async def _batch_with_room(self) -> _Batch:
        """Return the batch for one more item, already counted in it."""
        async with self._making:
            if self._newest is None or self._is_full(self._newest):
                self._newest = self._begin_batch((await self.make_workload()).workload_id)
            return self._count_in(self._newest)

    async def _resume(self, item: Item) -> bool:
        """Continue with the upload of an earlier run; returns False if there is none, or it is gone."""
        if item.taken is None:
            return False
        workload_id, place = item.taken
        async with self._making:
            if workload_id not in self._batches and workload_id not in self._lost:
                await self._resume_workload(workload_id)
        if workload_id in self._lost:
            return False
        self._note_upload(self._count_in(self._batches[workload_id]), item, place)
        return True

    async def _resume_workload(self, workload_id: str) -> None:
        try:
            await self.client.workload(workload_id)
        except ApiError as error:
            if error.status != 404:
                raise
            self._lost.add(workload_id)
        else:
            self._newest = self._begin_batch(workload_id)

    def _begin_batch(self, workload_id: str) -> _Batch:
        self.workload_ids.append(workload_id)
        batch = self._batches[workload_id] = _Batch(workload_id)
        return batch

    def _count_in(self, batch: _Batch) -> _Batch:
        batch.taken += 1
        batch.open += 1
        return batch

    def _is_full(self, batch: _Batch) -> bool:
        return self.batch is not None and batch.taken >= self.batch

    def _note_upload(self, batch: _Batch, item: Item, place: int) -> None:
        item.taken = (batch.workload_id, place)
        batch.items[place] = item
        self.counts.uploaded += 1

    # Watching

    async def _watch_workloads(self) -> None:
        """Ask for the workloads until all items have ended; then let the downloading loops end, too."""
        while self._uploading or self._batches:
            began = self.clock.seconds()
            for batch in list(self._batches.values()):
                await self._check_workload(batch)
            self.counts.waiting = sum(batch.waiting for batch in self._batches.values())
            self.counts.running = sum(batch.running for batch in self._batches.values())
            await self._look_for_stall()
            self.changed()
            took = self.clock.seconds() - began
            pause = min(max(_POLL_SECONDS, took * _POLL_SHARE), _LONGEST_POLL_SECONDS)
            await deferLater(self.clock, pause)
        for _ in range(self.concurrency):
            self._filtered.put(None)

    async def _check_workload(self, batch: _Batch) -> None:
        if batch.items:
            workload = await self.client.workload(batch.workload_id)
            for place in map(int, workload.filtered_images):
                if place in batch.items:
                    self.counts.filtered += 1
                    item = batch.items.pop(place)
                    self._hand_over(item.number, item)
            for failure in workload.failed_images:
                if failure.seq in batch.items:
                    self._fail(batch, batch.items.pop(failure.seq), failure.code, failure.reason)
            batch.running = workload.running_jobs
            batch.waiting = max(0, workload.accepted - workload.filtered - workload.failed - batch.running)
        if batch.open == 0 and (self._is_full(batch) or not self._uploading):
            del self._batches[batch.workload_id]
            if self.delete:
                await self.client.delete_workload(batch.workload_id)

    async def _look_for_stall(self) -> None:
        """Ask why nothing runs, once it has been so for a while."""
        now = self.clock.seconds()
        if self.counts.running or not self.counts.waiting:
            self._idle_since = None
            self.stalled("")
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= _STALL_SECONDS:
            self._idle_since = now
            waiting = next(batch for batch in self._batches.values() if batch.waiting)
            reasons = (await self.client.why(waiting.workload_id))["waiting"]
            self.stalled(reasons[0]["why"] if reasons else "")

    def _fail(self, batch: _Batch, item: Item, code: str, reason: str) -> None:
        self.sender.failed(item, code, reason)
        self._hand_over(item.number, None)
        self.counts.failed += 1
        self._finish_item(batch)

    def _hand_over(self, number: int, item: Item | None) -> None:
        """Give an item to the downloading loops in its turn; None only uses up the turn."""
        self._early[number] = item
        while (due := self._due if self.in_order else number) in self._early:
            following = self._early.pop(due)
            self._due += 1
            if following is not None:
                self._filtered.put(following)

    def _finish_item(self, batch: _Batch) -> None:
        batch.open -= 1
        self._room.release()
        self.changed()

    # Downloading

    async def _download_results(self) -> None:
        while (item := await self._filtered.get()) is not None:
            assert item.taken is not None
            batch = self._batches[item.taken[0]]
            try:
                await self._deliver(item, _Download(self.client, *item.taken))
            except Damaged as error:
                self._fail(batch, item, "damaged", str(error))
            else:
                self.counts.done += 1
                self._finish_item(batch)

    async def _deliver(self, item: Item, result: Result) -> None:
        """Hand the result to the sender. Raises Damaged after three damaged downloads: the stored file is."""
        for _ in range(_FETCHES - 1):
            with suppress(Damaged):
                return await self.sender.arrived(item, result)
        return await self.sender.arrived(item, result)


class Conveyor(UploadPipeline):
    """The former name of UploadPipeline, with ``hands`` for ``concurrency``, for programs that use it."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        if "hands" in options:
            options["concurrency"] = options.pop("hands")
        super().__init__(*arguments, **options)


Parcel = Item

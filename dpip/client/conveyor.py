"""Any number of pictures through one filter, a bounded number of them under way at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol, TypeAlias

from attrs import define, field, frozen
from twisted.internet.defer import DeferredLock, DeferredQueue, DeferredSemaphore
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from dpip.client.answers import Image, Workload
from dpip.client.bounded import gather_bounded
from dpip.client.client import Client
from dpip.client.downloads import Fetched
from dpip.client.errors import OF_THE_PICTURE, ApiError, Damaged

_LOOK_SECONDS: Final = 0.1
_LOOK_SHARE: Final = 10
"""A look at a large workload takes its time; looks are at least so many times as far apart."""

_FETCHES: Final = 3


@define(eq=False)
class Parcel:
    """A picture on its way. ``key`` names its upload for good, see :meth:`Client.upload`.

    Bytes as ``source`` are let go of when they are uploaded. ``taken`` is the workload and the place it has
    there, when it was uploaded in an earlier run. ``decoded_bytes`` is what it takes as arrays, if known.
    """

    name: str
    source: Path | bytes
    key: str
    taken: tuple[str, int] | None = None
    decoded_bytes: int | None = None
    number: int = field(default=0, init=False)  # in the order of sending


class Result(Protocol):
    """A filtered picture that waits to be taken."""

    async def take(self, to: Path) -> Fetched:
        """Have it as the file ``to``, whole. Raises Damaged, OSError."""

    async def read(self) -> bytes:
        """Raises Damaged, OSError."""


class Sender(Protocol):
    """Who sends parcels, and gets back what becomes of each: one of ``arrived`` or ``failed``."""

    async def next(self) -> Parcel | None:
        """None when there are no more. Never called again before it has answered."""

    def uploaded(self, parcel: Parcel, image: Image) -> None:
        """The server has it on its disk."""

    async def arrived(self, parcel: Parcel, result: Result) -> None:
        """Its result can be taken, until this returns."""

    def failed(self, parcel: Parcel, code: str, reason: str) -> None:
        """It will have no result."""


@define
class Counts:
    """How far it is; ``waiting`` and ``running`` are what the server said last."""

    uploaded: int = 0
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
    """A workload, and the parcels that are in it: ``open`` of them have not ended."""

    workload_id: str
    taken: int = 0
    open: int = 0
    full: bool = False
    at: dict[int, Parcel] = field(factory=dict)
    waiting: int = 0
    running: int = 0


_Finished: TypeAlias = tuple[_Batch, int, Parcel]


@define(eq=False)
class Conveyor:
    """``run`` ends when every parcel has; whatever it raises, it has stopped all of it first.

    ``make_workload`` is asked for a workload at the start, and again after every ``batch`` parcels (None: one
    workload for all). A workload that is done is deleted when ``delete`` says so, which bounds what the
    server has to keep. ``in_order`` hands results over in the order of sending. ``window`` is how many
    parcels are under way, ``hands`` how many are uploaded, and how many downloaded, at once.
    ``workload_ids`` are those it has made, and those of earlier runs that it has gone on with.
    """

    client: Client
    clock: IReactorTime
    sender: Sender
    make_workload: Callable[[], Awaitable[Workload]]
    window: int = 500
    hands: int = 4
    batch: int | None = None
    delete: bool = False
    in_order: bool = False
    changed: Callable[[], object] = lambda: None
    counts: Counts = field(factory=Counts, init=False)
    workload_ids: list[str] = field(factory=list, init=False)
    _batches: dict[str, _Batch] = field(factory=dict, init=False)
    _newest: _Batch | None = field(default=None, init=False)
    _lost: set[str] = field(
        factory=set, init=False
    )  # workloads of an earlier run that are not there any more
    _sending: int = field(default=0, init=False)  # hands that may still bring parcels
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _making: DeferredLock = field(factory=DeferredLock, init=False)
    _room: DeferredSemaphore = field(init=False)
    _sent: int = field(default=0, init=False)
    _due: int = field(default=0, init=False)  # the next to be handed over in order …
    _early: dict[int, _Finished | None] = field(factory=dict, init=False)  # … and what must wait for it
    _finished: DeferredQueue[_Finished | None] = field(factory=DeferredQueue, init=False)

    def __attrs_post_init__(self) -> None:
        self._room = DeferredSemaphore(self.window)

    async def run(self) -> None:
        """Raises ClientError, and whatever the sender raises."""
        self._sending = self.hands
        work: list[Callable[[], Awaitable[None]]] = [self._watch]
        work += [self._send] * self.hands + [self._receive] * self.hands
        await gather_bounded(len(work), lambda part: part(), work)

    # Up

    async def _send(self) -> None:
        while True:
            await self._room.acquire()
            parcel = await self._next()
            if parcel is None:
                break
            if parcel.taken is None or not await self._adopted(parcel, *parcel.taken):
                await self._upload(parcel)
            self.changed()
        self._room.release()
        self._sending -= 1

    async def _next(self) -> Parcel | None:
        await self._turn.acquire()
        try:
            parcel = await self.sender.next()
            if parcel is not None:
                parcel.number = self._sent
                self._sent += 1
            return parcel
        finally:
            self._turn.release()

    async def _upload(self, parcel: Parcel) -> None:
        batch = await self._with_room()
        try:
            image = await self.client.upload(batch.workload_id, parcel.source, parcel.name, parcel.key)
        except OSError as error:
            self._fail(batch, parcel, "unreadable", error.strerror or str(error))
        except ApiError as error:
            if error.code not in OF_THE_PICTURE:
                raise
            self._fail(batch, parcel, error.code, str(error))
        else:
            self.counts.uploaded += 1
            batch.at[image.seq] = parcel
            if isinstance(parcel.source, bytes):
                parcel.source = b""
            self.sender.uploaded(parcel, image)

    async def _with_room(self) -> _Batch:
        """The batch for one more parcel, which is counted in it."""
        await self._making.acquire()
        try:
            if self._newest is None or self._newest.full:
                workload = await self.make_workload()
                self._newest = self._begun(workload.workload_id)
            batch = self._newest
            batch.taken += 1
            batch.open += 1
            batch.full = batch.taken == self.batch
            return batch
        finally:
            self._making.release()

    async def _adopted(self, parcel: Parcel, workload_id: str, place: int) -> bool:
        """Whether an earlier run's upload is still there; its workload is gone on with."""
        await self._making.acquire()
        try:
            if workload_id not in self._batches and workload_id not in self._lost:
                await self._adopt(workload_id)
        finally:
            self._making.release()
        batch = self._batches.get(workload_id)
        if batch is None:
            return False
        batch.taken += 1
        batch.open += 1
        batch.at[place] = parcel
        self.counts.uploaded += 1
        return True

    async def _adopt(self, workload_id: str) -> None:
        try:
            await self.client.workload(workload_id)
        except ApiError as error:
            if error.status != 404:
                raise
            self._lost.add(workload_id)
        else:
            self._newest = self._begun(workload_id)

    def _begun(self, workload_id: str) -> _Batch:
        self.workload_ids.append(workload_id)
        batch = self._batches[workload_id] = _Batch(workload_id)
        return batch

    # There

    async def _watch(self) -> None:
        """Until nothing is open and nobody sends: then the receiving hands may rest."""
        while self._sending or self._batches:
            began = self.clock.seconds()
            for batch in list(self._batches.values()):
                await self._look(batch)
            self.counts.waiting = sum(batch.waiting for batch in self._batches.values())
            self.counts.running = sum(batch.running for batch in self._batches.values())
            self.changed()
            took = self.clock.seconds() - began
            await deferLater(self.clock, max(_LOOK_SECONDS, took * _LOOK_SHARE))
        for _ in range(self.hands):
            self._finished.put(None)

    async def _look(self, batch: _Batch) -> None:
        if batch.at:
            workload = await self.client.workload(batch.workload_id)
            for place in map(int, workload.filtered_images):
                if place in batch.at:
                    self.counts.filtered += 1
                    parcel = batch.at.pop(place)
                    self._hand_over(parcel.number, (batch, place, parcel))
            for failure in workload.failed_images:
                if failure.seq in batch.at:
                    self._fail(batch, batch.at.pop(failure.seq), failure.code, failure.reason)
            batch.running = workload.running_jobs
            batch.waiting = max(0, workload.accepted - workload.filtered - workload.failed - batch.running)
        if batch.open == 0 and (batch.full or not self._sending):
            del self._batches[batch.workload_id]
            if self.delete:
                await self.client.delete_workload(batch.workload_id)

    def _fail(self, batch: _Batch, parcel: Parcel, code: str, reason: str) -> None:
        self.sender.failed(parcel, code, reason)
        self._hand_over(parcel.number, None)
        self.counts.failed += 1
        self._ended(batch)

    def _hand_over(self, number: int, finished: _Finished | None) -> None:
        """To the receiving hands, when its turn has come; None is a turn that nobody takes."""
        if not self.in_order:
            if finished is not None:
                self._finished.put(finished)
            return
        self._early[number] = finished
        while self._due in self._early:
            following = self._early.pop(self._due)
            self._due += 1
            if following is not None:
                self._finished.put(following)

    def _ended(self, batch: _Batch) -> None:
        batch.open -= 1
        self._room.release()
        self.changed()

    # Down

    async def _receive(self) -> None:
        while (finished := await self._finished.get()) is not None:
            batch, place, parcel = finished
            try:
                await self._fetched(parcel, _Download(self.client, batch.workload_id, place))
            except Damaged as error:
                self._fail(batch, parcel, "damaged", str(error))
            else:
                self.counts.done += 1
                self._ended(batch)

    async def _fetched(self, parcel: Parcel, result: Result) -> None:
        """Raises Damaged when it was so each time: then it is the store's and not the way's fault."""
        for _ in range(_FETCHES - 1):
            with suppress(Damaged):
                return await self.sender.arrived(parcel, result)
        return await self.sender.arrived(parcel, result)

"""The feed of updates: watchers get the newest state of each workload and worker, up to four times a second.

A change only marks the thing that has changed. Marks are looked at together, and each becomes a numbered
update, which replaces the earlier one of the same thing. So at most one update of each thing is kept. A
watcher that asks with the number of the last update it has seen, now or after an hour, gets those that are
newer, and none twice: a slow watcher skips states, and costs nothing here while it does not ask.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from math import inf
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from dpip.errors import DpipError, RetryLater
from dpip.model import Progress, Update, Updates, WorkerState, Workload
from dpip.runtime.sizes import memory_of

PUBLISH_SECONDS: Final = 0.25
"""The least time between two updates of one thing."""
WAIT_SECONDS: Final = 15.0
"""A watcher that has waited for so long is told that there was nothing."""
AGAIN_SECONDS: Final = 1.0
"""The time between looks at running workloads: the forecast of their end changes without an event, too."""
_KEPT: Final = 10_000
_KEPT_BYTES: Final = 64 * 2**20
"""Of memory, for all updates that are kept: one workload may say 256 KiB of itself."""
_AT_ONCE: Final = 256  # marks looked at in one turn of the reactor, which takes some ms


@frozen
class Interest:
    """What a watcher wants: an owner's workloads (None: everyone's) or a single one, and perhaps workers.

    ``watcher`` is the user that watches.
    """

    owner: str | None
    workload_id: str | None = None
    workers: bool = False
    watcher: str = ""


@frozen
class _Kept:
    """An update and its number; of a workload also its owner and id, of a worker neither."""

    number: int
    update: Update
    size: int  # bytes of memory, none too few
    owner: str | None = None
    workload_id: str | None = None

    def concerns(self, interest: Interest) -> bool:
        if self.workload_id is None:
            return interest.workers
        return interest.owner in (None, self.owner) and interest.workload_id in (None, self.workload_id)


@define(eq=False)
class _Waiting:
    """A watcher that waits, and has seen all updates up to the number ``after``."""

    interest: Interest
    after: int
    answer: Deferred[Updates]
    deadline: IDelayedCall | None = None


@define(eq=False)
class Feed:
    """``look(workload id)`` gives a workload's progress, from memory if it is looked at often, or None when
    it is gone. ``epoch`` differs with each start of the controller, since numbers begin anew."""

    log = Logger()

    clock: IReactorTime
    look: Callable[[str], Deferred[Progress | None]]
    epoch: str
    most_bytes: int = _KEPT_BYTES
    _kept: OrderedDict[tuple[str, str], _Kept] = field(factory=OrderedDict, init=False)
    _size: int = field(default=0, init=False)  # of all that is kept
    _newest: int = field(default=0, init=False)
    _forgotten: int = field(default=0, init=False)  # updates up to this number may be missing
    _marked: dict[str, None] = field(factory=dict, init=False)
    _looking: list[str] = field(factory=list, init=False)
    _began: float = field(default=-inf, init=False)  # when the last looking began
    _next: IDelayedCall | None = field(default=None, init=False)
    _busy: bool = field(default=False, init=False)
    _running: dict[str, None] = field(factory=dict, init=False)
    _again: IDelayedCall | None = field(default=None, init=False)
    _waiting: dict[_Waiting, None] = field(factory=dict, init=False)
    _stopped: bool = field(default=False, init=False)

    # Changes

    def workload_changed(self, workload_id: str) -> None:
        """Mark the workload; it is looked at once somebody waits for updates."""
        if len(self._marked) >= _KEPT:
            self._forget_all()
        self._marked[workload_id] = None
        if self._waiting:
            self._look_soon()

    def workload_deleted(self, workload: Workload) -> None:
        self._marked.pop(workload.id, None)
        self._running.pop(workload.id, None)
        self._keep(("workload", workload.id), workload.owner, workload.id, deleted=workload.id)
        self._answer_watchers()

    def worker_changed(self, state: WorkerState) -> None:
        """Keep an update for each report: workers send one every few seconds."""
        self._keep(("worker", state.name), worker=state)
        self._answer_watchers()

    def wake(self, user: str) -> None:
        """Answer the watchers of this user now, so that they ask again and their tokens are checked."""
        for waiting in list(self._waiting):
            if waiting.interest.watcher == user:
                self._answer(waiting)

    def stop(self) -> None:
        """Refuse all watchers from now on."""
        self._stopped = True
        for waiting in list(self._waiting):
            self._leave(waiting)
            waiting.answer.errback(_closing())
        for call in (self._next, self._again):
            if call is not None and call.active():
                call.cancel()

    # Questions

    @property
    def position(self) -> str:
        """The id of the newest update."""
        return self._id(self._newest)

    def knows(self, id: str) -> bool:
        """Whether all updates after this one are kept."""
        return self._number(id) is not None

    def since(self, id: str, interest: Interest, wait: bool) -> Deferred[Updates]:
        """The updates after one that is known. With ``wait``, when there are some. Raises RetryLater."""
        if self._stopped:
            return fail(_closing())
        after = self._number(id)
        assert after is not None
        if self._marked:
            self._look_soon()
        found = self._updates(after, interest)
        if found.items or not wait:
            return succeed(found)
        waiting = _Waiting(interest, after, Deferred(lambda _: self._leave(waiting)))
        waiting.deadline = self.clock.callLater(WAIT_SECONDS, self._answer, waiting)
        self._waiting[waiting] = None
        self._look_again_later()
        return waiting.answer

    def tell_again(self, id: str) -> str:
        """Mark the workloads that have changed after that update once more; the id of the newest update."""
        after = self._number(id)
        for kept in list(self._after(self._forgotten if after is None else after)):
            if kept.update.workload is not None and kept.workload_id is not None:
                self.workload_changed(kept.workload_id)
        return self.position

    # Marks become updates

    def _look_soon(self) -> None:
        if self._next is None and not self._busy:
            left = self._began + PUBLISH_SECONDS - self.clock.seconds()
            delay = 0.0 if self._looking else min(PUBLISH_SECONDS, max(0.0, left))
            self._next = self.clock.callLater(delay, self._publish)

    def _publish(self) -> None:
        self._next = None
        if not self._looking:
            self._began = self.clock.seconds()
            self._looking, self._marked = list(self._marked), {}
        some, self._looking = self._looking[:_AT_ONCE], self._looking[_AT_ONCE:]
        self._busy = True
        Deferred.fromCoroutine(self._look_at(some))

    async def _look_at(self, workload_ids: list[str]) -> None:
        try:
            for workload_id in workload_ids:
                await self._look_at_one(workload_id)
        except DpipError as error:
            # The datastore is closing or overloaded: all watchers begin anew with a snapshot.
            self.log.info("Updates are skipped: {error}", error=error)
            self._forget_all()
        finally:
            self._busy = False
        self._answer_watchers()
        if self._looking or (self._marked and self._waiting):
            self._look_soon()
        self._look_again_later()

    async def _look_at_one(self, workload_id: str) -> None:
        progress = await self.look(workload_id)
        known = self._kept.get(("workload", workload_id))
        if progress is None or (known is not None and known.update.deleted is not None):
            return
        if progress.running:
            self._running[workload_id] = None
        else:
            self._running.pop(workload_id, None)
        if known is None or known.update.workload != progress:
            owner = progress.workload.owner
            self._keep(("workload", workload_id), owner, workload_id, workload=progress)

    def _look_again_later(self) -> None:
        if self._again is None and self._waiting and self._running:
            self._again = self.clock.callLater(AGAIN_SECONDS, self._look_again)

    def _look_again(self) -> None:
        self._again = None
        if self._waiting:
            for workload_id in list(self._running):
                self.workload_changed(workload_id)
        self._look_again_later()

    # What is kept

    def _keep(
        self, key: tuple[str, str], owner: str | None = None, workload_id: str | None = None, **what: Any
    ) -> None:
        self._newest += 1
        update = Update(self._id(self._newest), **what)
        earlier = self._kept.pop(key, None)
        kept = self._kept[key] = _Kept(self._newest, update, _size_of(update, earlier), owner, workload_id)
        self._size += kept.size - (earlier.size if earlier is not None else 0)
        while len(self._kept) > _KEPT or (self._size > self.most_bytes and len(self._kept) > 1):
            _, oldest = self._kept.popitem(last=False)
            self._size -= oldest.size
            self._forgotten = oldest.number

    def _forget_all(self) -> None:
        """Forget all marks and updates: every watcher needs a snapshot then."""
        self._marked.clear()
        self._looking.clear()
        self._kept.clear()
        self._size = 0
        self._newest += 1
        self._forgotten = self._newest
        for waiting in list(self._waiting):
            self._answer(waiting)

    def _after(self, number: int) -> Iterator[_Kept]:
        """The updates after that number, the newest first."""
        for kept in reversed(self._kept.values()):
            if kept.number <= number:
                return
            yield kept

    def _updates(self, after: int, interest: Interest) -> Updates:
        if after < self._forgotten:
            return Updates(self._id(after))  # an id that is not known: the watcher asks for a snapshot
        items = [kept.update for kept in self._after(after) if kept.concerns(interest)]
        return Updates(self.position, tuple(reversed(items)))

    def _id(self, number: int) -> str:
        return f"{self.epoch}-{number}"

    def _number(self, id: str) -> int | None:
        """The number in the id of an update after which all are kept, otherwise None."""
        epoch, _, digits = id.rpartition("-")
        if epoch != self.epoch or not (digits.isascii() and digits.isdigit()) or len(digits) > 18:
            return None
        number = int(digits)
        return number if self._forgotten <= number <= self._newest else None

    # Watchers that wait

    def _answer_watchers(self) -> None:
        for waiting in list(self._waiting):
            if any(kept.concerns(waiting.interest) for kept in self._after(waiting.after)):
                self._answer(waiting)
            else:
                waiting.after = self._newest  # these need not be looked at again

    def _answer(self, waiting: _Waiting) -> None:
        self._leave(waiting)
        waiting.answer.callback(self._updates(waiting.after, waiting.interest))

    def _leave(self, waiting: _Waiting) -> None:
        self._waiting.pop(waiting, None)
        if waiting.deadline is not None and waiting.deadline.active():
            waiting.deadline.cancel()


def _size_of(update: Update, earlier: _Kept | None) -> int:
    """Return the bytes that an update takes; a workload that has only been counted again says the same."""
    now, then = update.workload, earlier and earlier.update.workload
    if earlier and now and then and now.workload.spec is then.workload.spec:
        return earlier.size
    return memory_of(update)


def _closing() -> RetryLater:
    return RetryLater("The server is shutting down.", retry_after=2)

"""Chores that are done at intervals, so that nothing grows without bound."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from dpip.errors import DpipError
from dpip.interfaces import IDatastore
from dpip.model import Workload

_DAY = 24 * 3600.0
_PAGE = 100
EMPTY_SECONDS = _DAY  # that a workload may stay without images


@define(eq=False, slots=False)
class Housekeeping(Service):
    """``keep_days`` is how long a finished workload stays (None: for ever); one without images stays a day.

    ``retire(workload, if_empty)`` deletes one; ``sweep`` removes orphans of the image store; ``look_at_disk``
    watches its room.
    """

    log = Logger()

    reactor: IReactorTime
    wall_clock: Callable[[], float]
    datastore: IDatastore
    retire: Callable[[Workload, bool], Awaitable[None]]
    sweep: Callable[[], Awaitable[int]]
    look_at_disk: Callable[[], None]
    keep_days: float | None
    _loops: list[LoopingCall] = field(factory=list, init=False)

    def startService(self) -> None:
        super().startService()
        self._every(10.0, self._watch_disk)
        self._every(60.0, self._expire)
        self._every(600.0, self._retire_workloads)
        self._every(3600.0, self._sweep)

    def stopService(self) -> None:
        for loop in self._loops:
            loop.stop()
        self._loops.clear()
        super().stopService()

    def _every(self, seconds: float, chore: Callable[[], Awaitable[None]]) -> None:
        """Do a chore at this interval. One that fails is logged, and tried again at its next turn."""

        async def once() -> None:
            try:
                await chore()
            except DpipError as trouble:  # a database that is busy, say
                self.log.warn(
                    "Housekeeping is put off to its next turn: {chore}: {why}",
                    chore=chore.__name__.strip("_"),
                    why=trouble.detail,
                )
            except Exception:  # noqa: BLE001 - whatever it was, it is logged, and the next turn comes
                self.log.failure("Housekeeping failed and will be tried again: {chore}", chore=chore.__name__)

        loop = LoopingCall(lambda: Deferred.fromCoroutine(once()))
        loop.clock = self.reactor
        self._loops.append(loop)
        loop.start(seconds)

    async def _watch_disk(self) -> None:
        self.look_at_disk()

    async def _expire(self) -> None:
        await self.datastore.expire(self.wall_clock())

    async def _retire_workloads(self) -> None:
        now = self.wall_clock()
        while empty := await self.datastore.workloads_empty_before(now - EMPTY_SECONDS, _PAGE):
            for workload in empty:
                await self.retire(workload, True)
        if self.keep_days is None:
            return
        before = now - self.keep_days * _DAY
        while workloads := await self.datastore.workloads_finished_before(before, _PAGE):
            for workload in workloads:
                await self.retire(workload, False)

    async def _sweep(self) -> None:
        removed = await self.sweep()
        if removed:
            self.log.info("Removed {count} files that belong to no image", count=removed)

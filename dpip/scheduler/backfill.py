"""How the state comes to know its jobs: all of them at the start, and later those it is told of.

A million jobs are read in pages and fed in slices, one each turn of the reactor. Job numbers grow in the
order of commits, so what is committed meanwhile has higher numbers than what the last page told: it is kept
aside until then, and nothing is missed or told twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from dpip.interfaces import IDatastore
from dpip.model import UNFINISHED, WaitingJob
from dpip.scheduler import events as e
from dpip.scheduler.retrying import Persistence

_PAGE = 2000  # jobs read at once
_SLICE = 500  # jobs told to the state at once: about 1 ms
_WORKLOADS = 500  # workloads read at once


class Backfill:
    def __init__(
        self,
        datastore: IDatastore,
        persistence: Persistence,
        knows: Callable[[str], bool],
        handle_event: Callable[[e.Event], None],
    ) -> None:
        self._datastore = datastore
        self._persistence = persistence
        self._knows = knows
        self._handle_event = handle_event
        self._aside: dict[str, list[WaitingJob]] = {}  # by workload: until all is read, or it has been found
        self.done = False

    def start(self, then: Callable[[], None]) -> None:
        """Read everything; ``then`` is called when the state is complete."""

        async def fill() -> None:
            await self._read_workloads()
            last = await self._read_jobs()
            self._end(last)
            then()

        self._persistence.run(fill())

    def jobs_waiting(self, workload_id: str, jobs: Sequence[WaitingJob]) -> None:
        """Jobs that were committed just now."""
        if workload_id in self._aside or not self.done:
            self._aside.setdefault(workload_id, []).extend(jobs)
        elif self._knows(workload_id):
            self._handle_event(e.JobsWaiting(workload_id, jobs))
        else:
            self._aside[workload_id] = list(jobs)
            self._look_up(workload_id)

    def forget(self, workload_id: str) -> None:
        """The workload is deleted."""
        self._aside.pop(workload_id, None)

    def _look_up(self, workload_id: str) -> None:
        """A workload that was finished when we started, and has got new originals."""

        async def look_up() -> None:
            await self._open(workload_id)
            self._tell_aside(workload_id, 0)

        self._persistence.run(look_up())

    async def _open(self, workload_id: str) -> None:
        workload = await self._persistence.until_done(lambda: self._datastore.workload(workload_id))
        if workload is not None:
            self._handle_event(e.WorkloadOpened(workload))

    async def _read_workloads(self) -> None:
        after: str | None = None
        while True:
            page = await self._persistence.until_done(
                lambda after=after: self._datastore.workloads(None, UNFINISHED, after, _WORKLOADS)  # type: ignore[misc]
            )
            if not page:
                return
            for workload in page:
                self._handle_event(e.WorkloadOpened(workload))
            after = page[-1].id
            await self._persistence.pause(0)

    async def _read_jobs(self) -> int:
        """Returns the number of the last job read."""
        last = 0
        while True:
            page = await self._persistence.until_done(
                lambda last=last: self._datastore.unfinished(last, _PAGE)  # type: ignore[misc]
            )
            if not page:
                return last
            for workload_id, jobs in _slices(page):
                if not self._knows(workload_id):
                    await self._open(workload_id)
                self._handle_event(e.JobsWaiting(workload_id, jobs))
                await self._persistence.pause(0)
            last = page[-1][1].job

    def _end(self, last: int) -> None:
        self.done = True
        for workload_id in list(self._aside):
            if self._knows(workload_id):
                self._tell_aside(workload_id, last)
            else:
                self._aside[workload_id] = [job for job in self._aside[workload_id] if job.job > last]
                self._look_up(workload_id)

    def _tell_aside(self, workload_id: str, after: int) -> None:
        jobs = [job for job in self._aside.pop(workload_id, ()) if job.job > after]
        if jobs:
            self._handle_event(e.JobsWaiting(workload_id, jobs))


def _slices(page: Sequence[tuple[str, WaitingJob]]) -> Iterator[tuple[str, list[WaitingJob]]]:
    """Runs of jobs of one workload, none of them long."""
    for start in range(0, len(page), _SLICE):
        for workload_id, run in groupby(page[start : start + _SLICE], key=itemgetter(0)):
            yield workload_id, [job for _, job in run]

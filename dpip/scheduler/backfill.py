"""Tells the state of all jobs in the datastore after a start, and later of each job that is committed.

A million jobs are read in pages and handled in slices, one each turn of the reactor. Job numbers grow in the
order of commits, so jobs that are committed meanwhile have higher numbers than those of the last page. They
are kept aside until that page has been read: no job is missed, and none is handled twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from operator import itemgetter

from attrs import define, field

from dpip.interfaces import IDatastore
from dpip.model import UNFINISHED, WaitingJob
from dpip.scheduler import events as e
from dpip.scheduler.datastore_writes import Persistence

_PAGE = 2000  # jobs read at once
_SLICE = 500  # jobs given to the state at once: about 1 ms
_WORKLOADS = 500  # workloads read at once


@define(eq=False)
class Backfill:
    """``knows(workload_id)`` says whether the state has the workload; ``handle_event`` gives it an event."""

    _datastore: IDatastore
    _persistence: Persistence
    _knows: Callable[[str], bool]
    _handle_event: Callable[[e.Event], None]
    done: bool = field(default=False, init=False)
    # By workload: jobs that wait until all is read, or until their workload has been.
    _aside: dict[str, list[WaitingJob]] = field(factory=dict, init=False)

    def start(self, then: Callable[[], None]) -> None:
        """Read all workloads and jobs, and call ``then`` when the state knows them."""

        async def fill() -> None:
            await self._read_workloads()
            self._finish(await self._read_jobs())
            then()

        self._persistence.run(fill())

    def jobs_waiting(self, workload_id: str, jobs: Sequence[WaitingJob]) -> None:
        """Take note of jobs that were committed just now."""
        if workload_id in self._aside or not self.done:
            self._aside.setdefault(workload_id, []).extend(jobs)
        elif self._knows(workload_id):
            self._handle_event(e.JobsWaiting(workload_id, jobs))
        else:
            self._aside[workload_id] = list(jobs)
            self._look_up(workload_id)

    def forget(self, workload_id: str) -> None:
        """Drop the jobs kept aside of a workload that is deleted."""
        self._aside.pop(workload_id, None)

    def _look_up(self, workload_id: str) -> None:
        """Read a workload that was finished at the start, and has got new originals."""

        async def look_up() -> None:
            await self._open(workload_id)
            self._handle_aside(workload_id, 0)

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
        """Read all unfinished jobs, and return the number of the last one."""
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

    def _finish(self, last: int) -> None:
        self.done = True
        for workload_id in list(self._aside):
            if self._knows(workload_id):
                self._handle_aside(workload_id, last)
            else:
                self._aside[workload_id] = [job for job in self._aside[workload_id] if job.job > last]
                self._look_up(workload_id)

    def _handle_aside(self, workload_id: str, after: int) -> None:
        jobs = [job for job in self._aside.pop(workload_id, ()) if job.job > after]
        if jobs:
            self._handle_event(e.JobsWaiting(workload_id, jobs))


def _slices(page: Sequence[tuple[str, WaitingJob]]) -> Iterator[tuple[str, list[WaitingJob]]]:
    """Split a page into runs of at most ``_SLICE`` jobs of one workload."""
    for start in range(0, len(page), _SLICE):
        for workload_id, run in groupby(page[start : start + _SLICE], key=itemgetter(0)):
            yield workload_id, [job for _, job in run]

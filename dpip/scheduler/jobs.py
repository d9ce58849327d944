"""Queues of waiting jobs, packed into arrays: a million take 24 MB, where tuples would take 150."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from heapq import heappop, heappush
from itertools import chain
from typing import NamedTuple

from dpip.model import WaitingJob

_FIELDS = 3  # of a job: number, pixels, bytes of memory
_COMPACT = 1024 * _FIELDS  # cells read before the array is shortened at all


class Job(NamedTuple):
    number: int
    pixels: int
    memory: int


class JobQueue:
    """A queue of jobs, first in, first out. Jobs put back come before all others, the oldest first."""

    __slots__ = ("_back", "_cells", "_read")

    def __init__(self) -> None:
        self._cells = array("Q")  # number, pixels, bytes of memory of each job in turn
        self._read = 0  # cells that have been taken from the front
        self._back: list[Job] = []  # a heap by number, short: only jobs that workers returned or lost

    def __len__(self) -> int:
        return (len(self._cells) - self._read) // _FIELDS + len(self._back)

    def __bool__(self) -> bool:
        return self._read < len(self._cells) or bool(self._back)

    def extend(self, jobs: Iterable[WaitingJob]) -> None:
        self._cells.extend(chain.from_iterable([job[:_FIELDS] for job in jobs]))

    def put_back(self, job: Job) -> None:
        heappush(self._back, job)

    def first(self) -> Job:
        """Return the next job, which stays."""
        if self._back:
            return self._back[0]
        read, cells = self._read, self._cells
        return Job(cells[read], cells[read + 1], cells[read + 2])

    def drop_first(self) -> None:
        """Remove the next job."""
        if self._back:
            heappop(self._back)
            return
        self._read += _FIELDS
        if self._read >= _COMPACT and self._read * 2 >= len(self._cells):
            # Moves no more cells than were read since the last time: constant cost per job.
            del self._cells[: self._read]
            self._read = 0

    def clear(self) -> None:
        self._cells = array("Q")
        self._read = 0
        self._back = []

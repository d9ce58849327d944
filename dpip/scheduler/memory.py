"""Memory of the workers' machines: how much is free for further jobs, never estimated too high.

All workers of one machine share one account. A report gives the memory that the machine has available while
our jobs run. Adding what these jobs use gives ``base``, the memory available without them, and each job in
flight takes its estimated need from that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field, frozen

if TYPE_CHECKING:  # a circle of types: a machine has its workers, which have their machine
    from dpip.scheduler.workers import JoinedWorker


def size_class(need: int) -> int:
    """Return the size class of a need in bytes. Needs of one class differ by less than an eighth."""
    bits = need.bit_length()
    return bits * 8 + (need >> (bits - 4) & 7 if bits >= 4 else 0)


@define(eq=False, repr=False)
class Footprint:
    """The bytes of its machine's memory that one worker's jobs use."""

    jobs: int = 0  # at its last report, less the needs of those that ended since
    idle: int | None = None  # the least it ever reported: its interpreters, which stay when a job ends

    def report(self, own: int) -> None:
        self.idle = own if self.idle is None else min(self.idle, own)
        self.jobs = own - self.idle

    def shrink(self, need: int) -> int:
        """Take off an ended job's need, at most all there is. Returns the bytes taken off."""
        change = min(need, self.jobs)
        self.jobs -= change
        return change


@frozen
class Loan:
    """Bytes of a machine's memory that a worker has for work that is no job."""

    worker: JoinedWorker
    need: int


@define(eq=False, repr=False)
class Machine:
    """The account that a machine's workers share. Until one of them has reported, nothing is free."""

    name: str
    workers: dict[str, JoinedWorker] = field(factory=dict)  # by session
    total: int = 0
    base: int = 0  # free if none of our jobs ran
    committed: int = 0  # needs of the jobs in flight
    in_flight: int = 0
    running: int = 0  # sum of the workers' footprints
    free: int = 0  # for further jobs
    alone: bool = False  # one job has it for itself, though it may need more than is free
    reserved: bool = False  # is being emptied for a job that needs it alone

    def report(self, footprint: Footprint, total: int, available: int, own: int) -> None:
        self.running -= footprint.jobs
        footprint.report(own)
        self.running += footprint.jobs
        self.total = total
        self.base = min(total, available + self.running)
        self._settle()

    def remove_worker(self, footprint: Footprint) -> None:
        """Forget a worker that is gone; ``base`` stays as measured until another worker reports."""
        self.running -= footprint.jobs

    def add_job(self, need: int) -> None:
        self.alone = need > self.free  # only an oversized job may need more
        self.committed += need
        self.in_flight += 1
        self._settle()

    def remove_job(self, footprint: Footprint, need: int) -> None:
        """Free the memory of a job that has ended."""
        self.committed -= need
        self.in_flight -= 1
        self.alone = False
        self.running -= footprint.shrink(need)
        self._settle()

    def write_off(self, need: int) -> None:
        """Take the memory of a removed job that may still be computed as used, until a report."""
        self.base = max(0, self.base - need)
        self._settle()

    def _settle(self) -> None:
        self.free = 0 if self.alone else max(0, self.base - self.committed)

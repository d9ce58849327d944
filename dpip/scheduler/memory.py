"""Memory of the workers' machines: what is free for further jobs, never too optimistic.

All workers of one machine share one account. A report gives the machine's available memory at one moment,
jobs then running included; adding back what our jobs used at that moment gives ``base``, what would be there
without them, and each job in flight takes its estimated need from that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import define, field

if TYPE_CHECKING:  # a circle of types: a machine has its workers, which have their machine
    from dpip.scheduler.workers import JoinedWorker


def size_class(need: int) -> int:
    """Eight classes an octave: needs of one class differ by less than an eighth."""
    bits = need.bit_length()
    return bits * 8 + (need >> (bits - 4) & 7 if bits >= 4 else 0)


@define(eq=False, repr=False)
class Footprint:
    """What one worker's jobs have of its machine's memory."""

    jobs: int = 0  # bytes at its last report, less the needs of those that ended since
    idle: int | None = None  # the least it ever reported: its interpreters, which no job's end gives back

    def report(self, own: int) -> None:
        self.idle = own if self.idle is None else min(self.idle, own)
        self.jobs = own - self.idle

    def shrink(self, need: int) -> int:
        """A job has ended. Returns the change: its need, which is more than it had, or all there was."""
        change = min(need, self.jobs)
        self.jobs -= change
        return -change


@define(eq=False, repr=False)
class Machine:
    """The shared account. Until a worker has reported, nothing is free."""

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
        """The worker is gone; ``base`` stays as it was measured until somebody reports."""
        self.running -= footprint.jobs

    def add_job(self, need: int) -> None:
        self.alone = need > self.free  # only the last resort sends such a job
        self.committed += need
        self.in_flight += 1
        self._settle()

    def remove_job(self, footprint: Footprint, need: int) -> None:
        """A job has ended: its memory is free again."""
        self.committed -= need
        self.in_flight -= 1
        self.alone = False
        self.running += footprint.shrink(need)
        self._settle()

    def write_off(self, need: int) -> None:
        """The job given back may still be computing, out of our sight: its memory is gone until a report."""
        self.base = max(0, self.base - need)
        self._settle()

    def _settle(self) -> None:
        self.free = 0 if self.alone else max(0, self.base - self.committed)

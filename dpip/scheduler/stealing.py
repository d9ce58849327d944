"""Jobs that would be done sooner elsewhere, now that workers are idle.

A worker that has slowed down keeps its jobs from others that have nothing to do. A job is worth moving when
an idle worker would need less than half the time until its end where it is. Nothing is known of that end once
the job has taken three times as long as expected: that it takes as long again is as good a guess as any. No
job is moved twice: if the expectation was wrong, it costs one attempt and no more.
"""

from __future__ import annotations

from collections.abc import Iterator

from dpip.scheduler.costs import size_of
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import HeldJob, JoinedWorker, Phase

_OVERDUE = 3.0  # times the expected seconds, and
_GRACE = 0.5  # seconds more: reports of ends come late, and transfers take their time
_GAIN = 2.0  # times faster it must be elsewhere


def worth_moving(roster: Roster, now: float) -> Iterator[HeldJob]:
    """Each is to be taken from its worker before the next is asked for. No more than there are idle slots."""
    idle = sum(max(0, w.info.slots - len(w.held)) for w in roster.workers.values() if w.indexed)
    for worker in list(roster.workers.values()) if idle else ():
        for held, remaining in _late(worker, now):
            elsewhere = _elsewhere(held)
            if elsewhere is not None and remaining > _GAIN * elsewhere + _GRACE:
                yield held
                idle -= 1
                if not idle:
                    return


def _late(worker: JoinedWorker, now: float) -> list[tuple[HeldJob, float]]:
    """The worker's jobs with the seconds we expect until their ends; the last one first."""
    slots, late, before = worker.info.slots, [], 0.0
    for place, held in enumerate(worker.held.values()):
        expected = worker.pace.seconds(held.workload.chain, size_of(held.job.pixels))
        elapsed = now - max(held.since, worker.last_end)
        if place >= slots:
            remaining = before / slots + expected
        elif elapsed > _OVERDUE * expected + _GRACE:
            remaining = elapsed
        else:
            remaining = max(0.0, expected - elapsed)
        before += remaining
        if held.phase is Phase.LEASED and held.job.number not in held.workload.moved:
            late.append((held, remaining))
    return late[::-1]


def _elsewhere(held: HeldJob) -> float | None:
    """Seconds it would take on an idle worker."""
    times = []
    for kind in held.workload.requirement.kinds:
        entry = kind.index.best(held.need)
        if entry is not None and len(entry[3].held) < entry[3].info.slots and entry[3] is not held.worker:
            times.append(entry[3].pace.seconds(held.workload.chain, size_of(held.job.pixels)))
    return min(times, default=None)

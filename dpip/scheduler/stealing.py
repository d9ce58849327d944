"""Work stealing: finds jobs that an idle worker would finish sooner than the slow worker that has them.

A job is worth moving when an idle worker would need less than half of the time until its end where it is. Of
a job that has taken three times as long as expected, that end is unknown: the guess is that it takes as long
again. No job is moved twice: a wrong guess costs one attempt and no more.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import islice

from dpip.scheduler.fair_queue import OwnerQueue
from dpip.scheduler.roster import Roster
from dpip.scheduler.workers import HeldJob, JoinedWorker, Phase

_OVERDUE = 3.0  # times the expected seconds, and
_GRACE = 0.5  # seconds more: reports of ends come late, and transfers take time
_GAIN = 2.0  # times faster than where it is


def worth_moving(roster: Roster, now: float) -> Iterator[HeldJob]:
    """Yield as many jobs to move as there are idle slots. Each is to be moved before the next is taken."""
    idle = sum(max(0, w.info.slots - len(w.held)) for w in roster.workers.values() if w.indexed)
    for worker in list(roster.workers.values()) if idle else ():
        for held, remaining in _late(worker, now):
            elsewhere = _elsewhere(held)
            if elsewhere is not None and remaining > _GAIN * elsewhere + _GRACE:
                yield held
                idle -= 1
                if not idle:
                    return


def fetched_too_early(roster: Roster, owners: Collection[OwnerQueue], now: float) -> Iterator[HeldJob]:
    """Yield the jobs that wait with a worker behind one of their owner's that takes far longer than expected,
    where others of these owners, who have waiting jobs, may have to be served before them.

    The estimate is raised, so that they are not sent again at once.
    """
    for worker in list(roster.workers.values()) if owners else ():
        if len(worker.held) > worker.info.slots:
            misjudged = _raise_estimates(worker, now)
            for held in list(worker.held.values()) if misjudged else ():
                owner = held.workload.owner
                unbegun = held.begun is None and held.phase is Phase.LEASED
                if unbegun and owner in misjudged and any(other is not owner for other in owners):
                    yield held


def _raise_estimates(worker: JoinedWorker, now: float) -> list[OwnerQueue]:
    """Raise the cost of workloads with a job that is overdue here. Returns their owners."""
    owners = []
    for held in islice(worker.held.values(), worker.info.slots):
        elapsed = now - held.begun if held.begun is not None else 0.0
        if elapsed > _OVERDUE * held.cost + _GRACE:
            own = held.workload.own_cost
            own.mean, own.count = worker.pace.own_cost(held.size, elapsed), 1
            owners.append(held.workload.owner)
    return owners


def _late(worker: JoinedWorker, now: float) -> list[tuple[HeldJob, float]]:
    """Return the worker's jobs, the last one first, with the expected seconds until their ends."""
    slots, late, before = worker.info.slots, [], 0.0
    for place, held in enumerate(worker.held.values()):
        expected = worker.pace.seconds(held.workload.chain, held.size)
        elapsed = 0.0 if held.begun is None else now - held.begun
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
    """Return the seconds that it would take on an idle worker; None if none is idle."""
    times = []
    for kind in held.workload.requirement.kinds:
        entry = kind.index.best(held.need)
        if entry is not None and len(entry[3].held) < entry[3].info.slots and entry[3] is not held.worker:
            times.append(entry[3].pace.seconds(held.workload.chain, held.size))
    return min(times, default=None)

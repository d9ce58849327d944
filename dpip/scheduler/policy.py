"""Which worker gets a job."""

from __future__ import annotations

from attrs import define

from dpip.scheduler.costs import Chain
from dpip.scheduler.fair_queue import Blocked, Flow
from dpip.scheduler.index import Entry
from dpip.scheduler.jobs import Job
from dpip.scheduler.matching import Requirement, WorkerKind
from dpip.scheduler.workers import JoinedWorker

_GPU_BONUS = 1.0  # in logs: a GPU is worth a worker that is 2.7 times as busy
_FAR = 100  # waiting jobs for each slot: with more, no worker is too slow to help
_GUIDED = 0.5  # the part of a worker's share of the waiting jobs that may wait with it
_GRACE_JOBS = 1.0  # job times by which a slow worker may end after the others have done everything


def choose_worker(flow: Flow, job: Job, need: int) -> JoinedWorker | Blocked:
    """Return the best worker that has room for the flow's next job, or why there is none.

    Idle slots come before prefetching, then a low score: few jobs per slot, a fast worker, a machine that
    other programs leave alone, a GPU if and only if the job can use one. At the tail, a worker is passed over
    if the others would have done everything before it has done this job.
    """
    requirement = flow.workload.requirement
    entries: list[Entry] = []
    for kind in requirement.kinds:
        entry = kind.index.best(need)
        if entry is not None:
            if kind.gpu:
                entry = (entry[0] + (-_GPU_BONUS if requirement.wants_gpu else _GPU_BONUS), *entry[1:])
            entries.append(entry)
    if not entries:
        return _why_none(requirement)
    if len(entries) > 1:
        entries.sort()
    tail = _tail(requirement)
    if tail is None:
        return entries[0][3]
    chain = flow.workload.chain
    size = chain.size(job.pixels)
    in_time = (
        worker
        for *_, worker in entries
        if not _has_its_share(worker, tail) and not _too_slow(worker, chain, size, tail)
    )
    return next(in_time, Blocked.LATER)


def is_waste(requirement: Requirement, worker: JoinedWorker) -> bool:
    """Say whether a GPU would do work that cannot use it while other work can, or the other way round."""
    gpu = worker.kind.gpu
    if requirement.wants_gpu == gpu:
        return False
    if gpu:
        return any(other.wants_gpu and other.waiting for other in worker.kind.requirements)
    return any(kind.gpu for kind in requirement.kinds)


def _why_none(requirement: Requirement) -> Blocked:
    if not requirement.kinds:
        return Blocked.INCAPABLE
    return Blocked.MEMORY if any(kind.index.count for kind in requirement.kinds) else Blocked.BUSY


@define
class _Tail:
    """What is left of a requirement's work, when it is so little that it matters which worker does it."""

    in_flight: int
    seconds: float  # until all is done, as a multiple of the average job on the average slot
    speed: float  # of all workers that could do it


def _tail(requirement: Requirement) -> _Tail | None:
    in_flight, slots, speed = 0, 0, 0.0
    for kind in _best_kinds(requirement):
        in_flight += kind.in_flight
        slots += kind.slots
        speed += kind.speed
    if requirement.waiting > _FAR * slots:
        return None
    return _Tail(in_flight, (requirement.waiting + in_flight + _GRACE_JOBS * slots) / speed, speed)


def _best_kinds(requirement: Requirement) -> list[WorkerKind]:
    """Return the kinds that its jobs are for: those with a GPU, if it prefers one and there are any."""
    kinds = requirement.kinds
    return (requirement.wants_gpu and [kind for kind in kinds if kind.gpu]) or kinds


def _has_its_share(worker: JoinedWorker, tail: _Tail) -> bool:
    """Say whether the worker holds so many jobs that others may run out of them.

    The fewer are left, the fewer may wait with a worker (guided self-scheduling; Polychronopoulos and Kuck,
    1987). One for each slot may, however few are left.
    """
    queued = len(worker.held) - worker.info.slots
    if queued < worker.info.slots:
        return False
    waiting = sum(requirement.waiting for requirement in worker.kind.requirements)
    return queued > _GUIDED * waiting * worker.speed / tail.speed


def _too_slow(worker: JoinedWorker, chain: Chain, size: int, tail: _Tail) -> bool:
    """Say whether the others will have done everything before this slow or busy worker has done this job.

    It is never too slow unless another capable worker holds a job, whose end opens the lane again.
    """
    mine = len(worker.held)
    here = worker.pace.seconds(chain, size) * (1 + mine // worker.info.slots)
    return tail.in_flight > mine and here > chain.seconds(size) * tail.seconds

"""Which worker gets a job."""

from __future__ import annotations

from dpip.scheduler.costs import size_of
from dpip.scheduler.index import Entry
from dpip.scheduler.jobs import Job
from dpip.scheduler.lanes import Blocked, Flow
from dpip.scheduler.matching import Requirement
from dpip.scheduler.workers import Worker

_GPU_BONUS = 1.0  # in logs: a GPU is worth a worker that is 2.7 times as busy
_FAR = 100  # waiting jobs for each slot: then no worker is too slow to help
_TAIL_JOBS = 2.0  # at the tail a slow worker may take so many average job times for its last job


def choose(flow: Flow, job: Job, need: int) -> Worker | Blocked:
    """The best worker that has room for the flow's next job, or why there is none.

    Idle slots come before prefetching; then a low score: few jobs per slot, a fast worker, a machine that
    others leave alone, a GPU if and only if the job can use one.
    """
    requirement = flow.workload.requirement
    best: Entry | None = None
    for kind in requirement.kinds:
        entry = kind.index.best(need)
        if entry is not None:
            if kind.gpu:
                entry = (entry[0] + (-_GPU_BONUS if requirement.wants_gpu else _GPU_BONUS), *entry[1:])
            if best is None or entry < best:
                best = entry
    if best is None:
        return _why_none(requirement)
    worker = best[3]
    return Blocked.LATER if _better_wait(flow, job, worker) else worker


def is_waste(requirement: Requirement, worker: Worker) -> bool:
    """Is this a GPU for work that has no use for it while other work has, or the other way round?"""
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


def _better_wait(flow: Flow, job: Job, worker: Worker) -> bool:
    """Is so little left that the others will have done it before this slow or busy worker could?

    Only while another capable worker holds a job: its end is the event that brings the lane up again.
    """
    requirement, chain = flow.workload.requirement, flow.workload.chain
    in_flight, slots, speed = 0, 0, 0.0
    for kind in requirement.kinds:
        in_flight += kind.in_flight
        slots += kind.slots
        speed += kind.speed
    mine = len(worker.held)
    if in_flight <= mine or requirement.waiting > _FAR * slots:
        return False
    size = size_of(job.pixels)
    here = worker.pace.seconds(chain, size) * (1 + mine // worker.info.slots)
    return here > chain.seconds(size) * (requirement.waiting + _TAIL_JOBS * slots) / speed

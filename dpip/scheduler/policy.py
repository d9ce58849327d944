"""Which worker gets a job."""

from __future__ import annotations

from attrs import frozen

from dpip.scheduler.costs import size_of
from dpip.scheduler.index import Entry
from dpip.scheduler.lanes import Blocked, Flow
from dpip.scheduler.matching import Kind, Requirement
from dpip.scheduler.workers import Worker

_GPU_BONUS = 1.0  # in logs: a GPU is worth a worker that is 2.7 times as busy
_TAIL_JOBS = 2.0  # at the tail a slow worker may take so many average job times for its last job


@frozen
class Choice:
    """A worker for the flow's next job, or why there is none."""

    worker: Worker | None
    blocked: Blocked = Blocked.BUSY


def choose(flow: Flow, need: int) -> Choice:
    """The best worker that has room for the flow's next job.

    Idle slots come before prefetching; then a low score: few jobs per slot, a fast worker, a machine that
    others leave alone, a GPU if and only if the job can use one.
    """
    requirement = flow.workload.requirement
    best: tuple[float, Entry] | None = None
    for kind in requirement.kinds:
        entry = kind.index.best(need)
        if entry is not None:
            score = entry[0] + _gpu_cost(requirement, kind)
            if best is None or (score, entry[1]) < (best[0], best[1][1]):
                best = score, entry
    if best is None:
        return Choice(None, _why_none(requirement))
    worker = best[1][3]
    return Choice(None, Blocked.TAIL) if _better_wait(flow, worker) else Choice(worker)


def _gpu_cost(requirement: Requirement, kind: Kind) -> float:
    if not kind.gpu:
        return 0.0
    return -_GPU_BONUS if requirement.wants_gpu else _GPU_BONUS


def _why_none(requirement: Requirement) -> Blocked:
    if not requirement.kinds:
        return Blocked.INCAPABLE
    return Blocked.MEMORY if any(kind.index.count for kind in requirement.kinds) else Blocked.BUSY


def _better_wait(flow: Flow, worker: Worker) -> bool:
    """Is so little left that the others will have done it before this slow or busy worker could?

    Only while another capable worker holds a job: its end is the event that brings the lane up again.
    """
    requirement = flow.workload.requirement
    if sum(kind.in_flight for kind in requirement.kinds) <= len(worker.held):
        return False
    slots = sum(kind.slots for kind in requirement.kinds)
    speed = sum(kind.speed for kind in requirement.kinds)
    size = size_of(flow.jobs.first().pixels)
    typical = flow.workload.chain.seconds(size)
    here = worker.pace.seconds(flow.workload.chain, size) * (1 + len(worker.held) // worker.info.slots)
    return here > typical * (requirement.waiting + _TAIL_JOBS * slots) / speed

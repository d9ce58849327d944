"""Huge pictures: which of a workload's sizes goes next to a worker, where few of them fill its memory.

Largest first packs well only until the sizes come near to a share of the memory: of pictures that need from
28 to 38 % of a machine three fit when large and small ones go together, but only two when the large ones go
first. So, as soon as one more than of the largest would fit if all were of mean size, a picture is taken that
leaves room for the others beside it. All sizes of a workload are due at the same time; the order among them
is ours to choose.
"""

from __future__ import annotations

from dpip.scheduler.fair_queue import Flow
from dpip.scheduler.jobs import Job
from dpip.scheduler.workers import JoinedWorker


def exceeds_slot_share(worker: JoinedWorker, need: int) -> bool:
    """Does such a job take more than one slot's share of the worker's memory?"""
    return need * worker.info.slots > worker.machine.base


def better_packed(flow: Flow, need: int, worker: JoinedWorker) -> Flow:
    """The flow of the same workload whose next job should go to the worker before this one: or this one."""
    memory = worker.machine.base
    sizes, total, count = [], 0, 0
    for other in flow.workload.flows.values():
        if other.jobs:
            its_need = next_job(other)[1]
            if exceeds_slot_share(worker, its_need):
                sizes.append((its_need, other))
                total += its_need * len(other.jobs)
                count += len(other.jobs)
    together = memory * count // total  # so many of mean size fit
    if together != memory // need + 1:
        return flow
    others = together - 1 - sum(exceeds_slot_share(worker, held.need) for held in worker.held.values())
    sizes.sort(key=lambda size: -size[0])
    room = worker.machine.free - max(0, others) * sizes[-1][0]
    fitting = (other for size, other in sizes if size <= room and other.lane.blocked is None)
    return next(fitting, flow)


def next_job(flow: Flow) -> tuple[Job, int]:
    """The flow's next job, and the memory that it needs."""
    job = flow.jobs.first()
    return job, flow.workload.need(job.decoded_bytes)

"""Huge pictures: which of a workload's sizes goes next to a worker, where few of them fill its memory.

Largest first packs well while pictures need a small part of the memory. But of pictures that need from 28 to
38 % of a machine, three fit when large and small ones go together, and only two when the large ones go first.
So, where one more of the mean size fits than of the largest, a picture is chosen that leaves room for the
others. The jobs of a workload may run in any order.
"""

from __future__ import annotations

from dpip.scheduler.fair_queue import Flow
from dpip.scheduler.workers import JoinedWorker


def exceeds_slot_share(worker: JoinedWorker, need: int) -> bool:
    """Say whether such a job takes more than one slot's share of the worker's memory."""
    return need * worker.info.slots > worker.machine.base


def better_packed(flow: Flow, need: int, worker: JoinedWorker) -> Flow:
    """Return the flow of the same workload whose next job fills the worker's memory best, or this one."""
    memory = worker.machine.base
    sizes, total, count = [], 0, 0
    for other in flow.workload.flows.values():
        if other.jobs:
            its_need = other.next_job()[1]
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

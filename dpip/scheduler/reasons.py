"""Why a job is with its worker, in a sentence for people, from what was known when it was placed."""

from __future__ import annotations

from collections.abc import Iterator

from dpip.model import Reason
from dpip.scheduler.fair_queue import WorkloadQueue
from dpip.scheduler.workers import HeldJob, Phase


def reasons_of_held(workload: WorkloadQueue) -> Iterator[Reason]:
    """Yield the reason for each job that a worker has, in the order in which they were placed."""
    for held in workload.held.values():
        if held.worker is not None and held.phase is Phase.LEASED and held.leased is not None:
            yield Reason(_sentence(held), 1, held.leased.original.seq, held.worker.info.name)


def _sentence(held: HeldJob) -> str:
    worker, chain, size = held.worker, held.workload.chain, held.size
    assert worker is not None
    place = (
        f"a free slot (it had {_jobs(held.ahead)} on {worker.info.slots})"
        if held.ahead < worker.info.slots
        else f"no free slot, as nobody had, but room to fetch it ahead of its turn, after {_jobs(held.ahead)}"
    )
    ability = (
        " with its filter and tags" if any(a[0] == "#" for a in worker.kind.abilities) else " with its filter"
    )
    sentence = (
        f"Of the workers{ability} and memory for it, {worker.info.name} was to be done with it first: "
        f"it had {place}; it takes about {_seconds(worker.pace.seconds(chain, size))} for such a picture, "
        f"the average worker {_seconds(chain.seconds(size))}."
    )
    if held.workload.requirement.wants_gpu and worker.kind.gpu:
        sentence += " It has a GPU, which this filter uses."
    if held.job.number in held.workload.moved:
        sentence += " The job was taken back from a worker that would have been slower."
    return sentence


def _jobs(count: int) -> str:
    return "1 job" if count == 1 else f"{count} jobs"


def _seconds(seconds: float) -> str:
    return f"{seconds:.2g} s" if seconds >= 0.1 else f"{seconds * 1000:.2g} ms"

"""What ``bench.scheduling`` simulates, and how fast each scene could be done at best.

The lower bound is the greatest of: all work ÷ all speed; the longest job on the fastest worker; and what the
jobs take of the machines' memory, for how long, ÷ the machines (``memory_bound``). Nothing can be faster, and
few things as fast.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from bench.scheduling_world import COMMIT, GIB, TRANSFER, Job, Machine

MEGAPIXEL = 1_000_000
SECONDS_PER_PIXEL = 20e-9


def photos(
    count: int, low: float = 2, high: float = 24, workload: str = "w", filter: str = "blur", first: int = 0
) -> list[Job]:
    """Pictures of ``low`` to ``high`` megapixels; what they take varies by a tenth."""
    chance = random.Random(count + first)
    jobs = []
    for number in range(first, first + count):
        pixels = int(chance.uniform(low, high) * MEGAPIXEL)
        jobs.append(
            Job(number, workload, pixels, pixels * SECONDS_PER_PIXEL * chance.lognormvariate(0, 0.1), filter)
        )
    return jobs


Scene = tuple[list[Machine], list[Job]]


def equal(scale: float) -> Scene:
    return [Machine(f"m{i}") for i in range(16)], photos(round(1000 * scale))


def spread(scale: float) -> Scene:
    return [Machine(f"m{i}", speed=2.0 ** (i % 4)) for i in range(16)], photos(round(1500 * scale))


def stragglers(scale: float) -> Scene:
    jobs = photos(round(2000 * scale))
    half = bound([Machine(f"m{i}") for i in range(16)], jobs) / 2
    return [Machine(f"m{i}", slow_after=half if i < 2 else float("inf")) for i in range(16)], jobs


def tight(scale: float) -> Scene:
    """Huge images, mixed with small ones: there are twice as many slots as memory for huge ones."""
    machines = [Machine(f"m{i}", slots=16, memory=16 * GIB) for i in range(4)]
    huge = round(400 * scale)
    jobs = photos(huge, 80, 130) + photos(2 * huge, 2, 24, first=huge)
    random.Random(3).shuffle(jobs)
    return machines, jobs


def tightest(scale: float) -> Scene:
    """The same where two of them fill a machine, or three of the smaller ones."""
    machines = [Machine(f"m{i}", slots=4, memory=4 * GIB) for i in range(8)]
    huge = round(200 * scale)
    jobs = photos(huge, 80, 130) + photos(2 * huge, 2, 24, first=huge)
    random.Random(3).shuffle(jobs)
    return machines, jobs


def mixed(scale: float) -> Scene:
    """A quarter of the machines has a GPU, six times as fast at one filter; another has a tag."""
    machines = [
        Machine(f"m{i}", gpu=6.0 if i % 4 == 0 else 1.0, tags=("special",) if i % 4 == 1 else ())
        for i in range(16)
    ]
    n = round(400 * scale)
    jobs = [
        *photos(n, workload="plain"),
        *photos(n, workload="gpu", filter="gpu", first=n),
        *photos(n // 4, workload="tagged", filter="tagged", first=2 * n),
    ]
    return machines, jobs


def users(scale: float) -> Scene:
    """10,000 images of one user, 100 of another, and one; no more of them at a larger scale."""
    share = min(1.0, scale)
    jobs = photos(round(10_000 * share), 10, 14, "many")
    jobs += photos(round(100 * share), 10, 14, "some", first=len(jobs))
    jobs += photos(1, 12, 12, "one", first=len(jobs))
    return [Machine(f"m{i}") for i in range(8)], jobs


SCENES: dict[str, Callable[[float], Scene]] = {
    "16 equal workers": equal,
    "speeds 1 to 8": spread,
    "2 of 16 slow down tenfold half way": stragglers,
    "memory for half the slots": tight,
    "memory for two huge images": tightest,
    "GPU and tags mixed": mixed,
    "three users": users,
}


def mixed_bound(machines: Sequence[Machine], jobs: Sequence[Job]) -> float:
    """GPUs are faster at one filter alone: what they gain there is work the others need not do."""
    work = sum(job.seconds for job in jobs if job.filter != "gpu")
    gpu_work = sum(job.seconds for job in jobs if job.filter == "gpu")
    gpus = [m for m in machines if m.gpu > 1]
    slots = sum(m.slots for m in machines)
    factor = gpus[0].gpu
    on_gpus = sum(m.slots for m in gpus)
    # All the GPU's work there if that takes no longer than the rest on the others; else spread over all.
    if gpu_work / factor / on_gpus <= work / (slots - on_gpus):
        return (work + gpu_work / factor) / slots
    return (work + gpu_work) / (slots - on_gpus + on_gpus * factor)


def slowed_bound(machines: Sequence[Machine], jobs: Sequence[Job]) -> float:
    """Until some slow down, and from then on."""
    work = sum(job.seconds for job in jobs)
    when = min(machine.slow_after for machine in machines)
    before = sum(m.slots * m.speed for m in machines)
    after = sum(m.slots * m.speed * (0.1 if m.slow_after == when else 1.0) for m in machines)
    return when + (work - when * before) / after


BOUNDS = {mixed: mixed_bound, stragglers: slowed_bound}


def bound(machines: Sequence[Machine], jobs: Sequence[Job]) -> float:
    """No schedule can be shorter."""
    fastest = [max(m.speed * (m.gpu if job.filter == "gpu" else 1) for m in machines) for job in jobs]
    total = sum(m.slots * m.speed * m.gpu for m in machines)
    work = sum(job.seconds for job in jobs) / total
    seconds = [job.seconds / speed for job, speed in zip(jobs, fastest, strict=True)]
    return max(work, *seconds, memory_bound(machines, jobs, seconds))


def memory_bound(machines: Sequence[Machine], jobs: Sequence[Job], seconds: Sequence[float]) -> float:
    """From the memory that jobs hold, from the decision to the commit.

    Their needs alone would say that machines can be filled to the last byte. So needs are weighed by
    ``worth``, by which no set of jobs that fits in a machine's memory comes to more than 1; the greatest
    bound of several such weights counts.
    """
    memory = max(machine.memory for machine in machines)
    held = [each + TRANSFER + COMMIT for each in seconds]
    return max(
        sum(worth(job.need / memory, half) * each for job, each in zip(jobs, held, strict=True))
        / sum(machine.memory / memory for machine in machines)
        for half in HALVES
    )


HALVES = [1 / 3 + step / 120 for step in range(1, 21)]  # up to 1/2, where weights are plain needs


def worth(share: float, half: float) -> float:
    """The weight of a job that needs this share of a machine's memory: a dual feasible function, as in bin
    packing (Fekete and Schepers 2001).

    A job from ``half`` on weighs 1/2, since no two others of its kind fit beside it; below, the weight falls
    linearly through (1/3, 1/3), so that three shares that make 1 weigh 1, whichever they are. The line's
    slope is at least 1, so n shares on it weigh at most n/3 + slope × (1 − n/3): 1 at most from n = 3 on.
    """
    if share > 1 / 2:
        return 1 - worth(1 - share, half)
    return min(1 / 2, max(0.0, 1 / 3 + (share - 1 / 3) / (6 * (half - 1 / 3))))

"""A world for ``bench.scheduling``: machines that download, compute and commit in simulated time."""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from itertools import count
from typing import Protocol

from attrs import define, field

GIB = 2**30
TRANSFER = 0.02  # seconds from a decision to the job's first computation: lease, message, download
COMMIT = 0.01  # seconds from the end of computing to the slot's being known as free
REPORT = 5.0  # seconds between reports


@define(eq=False)
class Job:
    number: int
    workload: str
    pixels: int
    seconds: float  # on a worker of speed 1
    filter: str = "blur"
    at: float = 0.0  # when it is uploaded, for ``Ours``
    owner: str = ""

    @property
    def need(self) -> int:
        return 5 * 3 * self.pixels


@define(eq=False)
class Machine:
    """One worker on a machine of its own."""

    name: str
    slots: int = 2
    speed: float = 1.0
    memory: int = 64 * GIB
    gpu: float = 1.0  # how much faster at the filter ``gpu``
    tags: tuple[str, ...] = ()
    slow_after: float = float("inf")  # from then on a tenth as fast
    held: dict[int, Job] = field(factory=dict)
    ready: deque[Job] = field(factory=deque)
    running: set[int] = field(factory=set)
    used: int = 0  # bytes that its jobs need

    @property
    def capacity(self) -> int:
        return self.slots * 4 + 16

    def take(self, job: Job) -> None:
        self.held[job.number] = job
        self.used += job.need

    def drop(self, job: Job) -> None:
        del self.held[job.number]
        self.used -= job.need

    def seconds(self, job: Job, now: float) -> float:
        speed = self.speed * (self.gpu if job.filter == "gpu" else 1.0)
        return job.seconds / (speed / 10 if now >= self.slow_after else speed)

    def can(self, job: Job) -> bool:
        return job.filter != "tagged" or "special" in self.tags


class Rule(Protocol):
    """A way to schedule."""

    def start(self, simulation: Simulation) -> None: ...

    def decide(self, now: float) -> Iterable[tuple[Machine, Job]]: ...

    def done(self, machine: Machine, job: Job, seconds: float, now: float) -> None: ...

    def report(self, machine: Machine, now: float) -> None: ...


class Simulation:
    """All jobs wait at time 0."""

    def __init__(self, rule: Rule, machines: Sequence[Machine], jobs: Sequence[Job]) -> None:
        self.rule, self.machines, self.jobs = rule, machines, jobs
        self.finished: dict[int, float] = {}  # when each job was done
        self.overcommitted = 0  # bytes, at worst
        self._agenda: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = count()
        self._stints: dict[int, int] = {}  # how often a job was given away: what was cancelled is outdated

    @property
    def makespan(self) -> float:
        return max(self.finished.values())

    def run(self) -> Simulation:
        self.run_until(lambda: len(self.finished) == len(self.jobs))
        return self

    def run_until(self, over: Callable[[], bool]) -> None:
        self.rule.start(self)
        self._report(0.0)
        while not over():
            assert self._agenda, "some jobs are never done"
            now, _, what = heapq.heappop(self._agenda)
            what(now)

    def at(self, time: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._agenda, (time, next(self._order), what))

    def decide(self, now: float) -> None:
        for machine, job in self.rule.decide(now):
            machine.take(job)
            self.overcommitted = max(self.overcommitted, machine.used - machine.memory)
            stint = self._stints[job.number] = self._stints.get(job.number, 0) + 1
            self.at(now + TRANSFER, lambda now, m=machine, j=job, s=stint: self._arrive(m, j, s, now))

    def cancel(self, machine: Machine, job: Job, now: float) -> None:
        """The machine drops the job, begun or not."""
        machine.drop(job)
        self._stints[job.number] += 1
        if job in machine.ready:
            machine.ready.remove(job)
        elif job.number in machine.running:
            machine.running.remove(job.number)
            self._compute(machine, now)

    def _arrive(self, machine: Machine, job: Job, stint: int, now: float) -> None:
        if stint == self._stints[job.number]:
            machine.ready.append(job)
            self._compute(machine, now)

    def _compute(self, machine: Machine, now: float) -> None:
        while machine.ready and len(machine.running) < machine.slots:
            job = machine.ready.popleft()
            machine.running.add(job.number)
            seconds, stint = machine.seconds(job, now), self._stints[job.number]
            self.at(
                now + seconds, lambda now, j=job, s=seconds, t=stint: self._computed(machine, j, s, t, now)
            )

    def _computed(self, machine: Machine, job: Job, seconds: float, stint: int, now: float) -> None:
        if stint == self._stints[job.number]:
            machine.running.remove(job.number)
            self._compute(machine, now)
            self.at(now + COMMIT, lambda now: self._committed(machine, job, seconds, stint, now))

    def _committed(self, machine: Machine, job: Job, seconds: float, stint: int, now: float) -> None:
        if stint == self._stints[job.number]:
            machine.drop(job)
            self.finished[job.number] = now
            self.rule.done(machine, job, seconds, now)
            self.decide(now)

    def _report(self, now: float) -> None:
        for machine in self.machines:
            self.rule.report(machine, now)
        self.decide(now)
        if len(self.finished) < len(self.jobs):
            self.at(now + REPORT, self._report)

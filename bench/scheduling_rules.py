"""Ways to schedule for ``bench.scheduling``: the scheduler's real state and policy, and simpler rules."""

from __future__ import annotations

import random
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from itertools import count

from attrs import define, field

from bench.scheduling_world import COMMIT, Job, Machine, Rule, Simulation
from dpip.model import (
    Eta,
    Image,
    ImageType,
    Lease,
    LeasedJob,
    Load,
    Outcome,
    StoredFile,
    StoredPicture,
    WaitingJob,
    WorkerInfo,
    Workload,
    WorkloadSpec,
)
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Assign, Cancel, Release, WakeAt
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.state import State


class Ours:
    """The real thing: the datastore answers at once, and its delay is part of ``TRANSFER``."""

    def __init__(self) -> None:
        self.state = State(lambda steps: steps[0][0] == "gpu", SchedulerLimits())
        self.machines: dict[str, Machine] = {}
        self.jobs: dict[int, Job] = {}
        self.leases: dict[int, Lease] = {}
        self.attempts = count(1)
        self.pixels: Counter[str] = Counter()  # by workload
        self.halfway: dict[
            str, tuple[float, Eta]
        ] = {}  # when half its pixels were done: what we told its user
        self.wake = float("inf")

    def start(self, simulation: Simulation) -> None:
        self.simulation = simulation
        for job in simulation.jobs:
            self.pixels[job.workload] += job.pixels
        self.left = self.pixels.copy()
        for machine in simulation.machines:
            self.machines[machine.name] = machine
            self.tell(e.WorkerJoined(machine.name, info_of(machine)), 0.0)
        for job in simulation.jobs:
            self.jobs[job.number] = job
            self.tell(e.WorkloadOpened(workload_of(job)), 0.0)
            came = e.JobsWaiting(job.workload, [WaitingJob(job.number, job.pixels, job.need)])
            if job.at:
                simulation.at(job.at, lambda now, event=came: self.then_decide(event, now))
            else:
                self.tell(came, 0.0)

    def tell(self, event: e.Event, now: float) -> list[Assign]:
        """Carries out everything but the assignments, which it returns."""
        assigns = []
        for instruction in self.state.handle(event, now):
            if isinstance(instruction, Assign):
                assigns.append(instruction)
            elif isinstance(instruction, WakeAt):
                self.wake = instruction.time
                self.simulation.at(max(now, instruction.time), self.tick)
            elif isinstance(instruction, Cancel):
                job = self.jobs[instruction.lease.job]
                self.simulation.cancel(self.machines[instruction.session], job, now)
            elif isinstance(instruction, Release):
                released = e.Released(instruction.lease)
                self.simulation.at(now + COMMIT, lambda now, event=released: self.then_decide(event, now))
        return assigns

    def tick(self, now: float) -> None:
        if now >= self.wake:  # else an earlier tick has come since it was asked for
            self.wake = float("inf")
            self.then_decide(e.Tick(), now)

    def then_decide(self, event: e.Event, now: float) -> None:
        self.tell(event, now)
        self.simulation.decide(now)

    def decide(self, now: float) -> Iterator[tuple[Machine, Job]]:
        for assign in self.tell(e.Decide(10**9), now):
            leased = leased_job(assign.job, next(self.attempts))
            self.leases[assign.job] = leased.lease
            self.tell(e.LeaseGranted(leased), now)
            yield self.machines[assign.session], self.jobs[assign.job]

    def done(self, machine: Machine, job: Job, seconds: float, now: float) -> None:
        lease = self.leases.pop(job.number)
        self.tell(e.ResultCommitted(lease), now)
        self.tell(e.JobEnded(machine.name, lease, Outcome.DONE, seconds=seconds), now)
        self.left[job.workload] -= job.pixels
        if self.left[job.workload] <= self.pixels[job.workload] / 2 and job.workload not in self.halfway:
            eta = self.state.eta(job.workload, now)
            assert eta is not None
            self.halfway[job.workload] = now, eta

    def report(self, machine: Machine, now: float) -> None:
        computing, used = len(machine.running), machine.used
        busy = 100.0 * computing / machine.slots
        load = Load(busy, machine.memory, machine.memory - used, 100.0 * computing, used)
        self.tell(e.WorkerReported(machine.name, load), now)


@define
class Simple:
    """First come, first served, to the machine that ``pick`` chooses among those with room."""

    pick: Callable[[Sequence[Machine]], Machine]
    machines: list[Machine] = field(factory=list)
    waiting: deque[Job] = field(factory=deque)

    def start(self, simulation: Simulation) -> None:
        self.machines = list(simulation.machines)
        self.waiting = deque(simulation.jobs)

    def decide(self, now: float) -> Iterator[tuple[Machine, Job]]:
        while self.waiting:
            job = self.waiting[0]
            fit = [m for m in self.machines if m.can(job) and len(m.held) < m.capacity]
            fit = [m for m in fit if m.used + job.need <= m.memory]
            if not fit:
                return
            self.waiting.popleft()
            yield self.pick(fit), job

    def done(self, machine: Machine, job: Job, seconds: float, now: float) -> None:
        pass

    def report(self, machine: Machine, now: float) -> None:
        pass


def round_robin() -> Rule:
    turn = count()
    return Simple(lambda fit: fit[next(turn) % len(fit)])


def least_loaded() -> Rule:
    return Simple(lambda fit: min(fit, key=lambda machine: len(machine.held) / machine.slots))


def occupancy() -> Rule:
    """Dask's: to the worker whose jobs, by what such jobs take on average, would be done first."""
    return Simple(lambda fit: min(fit, key=lambda m: sum(job.pixels for job in m.held.values()) / m.slots))


def at_random() -> Rule:
    chance = random.Random(1)
    return Simple(chance.choice)


RULES: dict[str, Callable[[], Rule]] = {
    "ours": Ours,
    "least loaded": least_loaded,
    "occupancy": occupancy,
    "round robin": round_robin,
    "random": at_random,
}


# Values of the real interfaces


def info_of(machine: Machine) -> WorkerInfo:
    return WorkerInfo(
        name=machine.name,
        version="1",
        machine=machine.name,
        slots=machine.slots,
        capacity=machine.capacity,
        tags=frozenset(machine.tags),
        filters=dict.fromkeys(("blur", "grayscale", "gpu", "tagged"), "1"),
        has_gpu=machine.gpu > 1,
        fingerprint="f",
    )


def workload_of(job: Job) -> Workload:
    tags = ("special",) if job.filter == "tagged" else ()
    step = ("blur", {"variant": job.filter}) if job.filter.startswith("new") else (job.filter, {})
    spec = WorkloadSpec(job.workload, (step,), tags)
    return Workload(job.workload, job.owner or f"owner of {job.workload}", spec, job.workload, 0.0)


_STORED = StoredFile("path", 0, "0" * 64, StoredPicture("JPEG", "image/jpeg", 1280, 720, 1280 * 720 * 3))


def leased_job(number: int, attempt: int = 1) -> LeasedJob:
    original = Image(f"o{number}", "w", ImageType.ORIGINAL, number, _STORED, 0.0)
    return LeasedJob(Lease(number, attempt, "n"), "w", original, f"r{number}", (("blur", {}),), {})

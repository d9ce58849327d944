"""How good are the scheduler's decisions, and what do they cost?

``python -m bench.scheduling`` simulates workers around the scheduler's real state and policy, beside simpler
rules under the same conditions, and prints makespan ÷ lower bound. ``--full`` adds larger scenes; ``--share
0.1`` takes a tenth of the jobs and workers, for a first look.
"""

from __future__ import annotations

import argparse
import gc
import math
import statistics
from collections import deque
from time import perf_counter
from typing import Any

from bench.record import add_option, keep, resident
from bench.scheduling_fairness import MIXES, slowdowns
from bench.scheduling_rules import RULES, Ours, info_of, leased_job
from bench.scheduling_scenes import BOUNDS, SCENES, bound, photos, users
from bench.scheduling_world import GIB, Machine, Simulation
from dpip.model import Lease, Load, Outcome, WaitingJob, Workload, WorkloadSpec
from dpip.scheduler import events as e
from dpip.scheduler.instructions import Assign
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.state import State


def compare(scale: float) -> dict[str, Any]:
    """Makespan ÷ bound of each rule in each scene, and how far off our forecast was half way."""
    columns = (*RULES, "forecast")
    print(f"{'makespan ÷ lower bound':38}" + "".join(f"{name:>14}" for name in columns))
    figures: dict[str, Any] = {}
    for name, scene in SCENES.items():
        figures[name] = {}
        cells = []
        for rule, make in RULES.items():
            machines, jobs = scene(scale)
            run = Simulation(make(), machines, jobs).run()
            ratio = run.makespan / BOUNDS.get(scene, bound)(machines, jobs)
            figures[name][rule] = round(ratio, 3)
            cells.append(f"{ratio:13.3f}" + ("!" if run.overcommitted > 0 else " "))
            if isinstance(run.rule, Ours):
                error = figures[name]["forecast"] = round(forecast_error(run, run.rule), 3)
        print(f"{name:38}" + "".join(cells) + f"{error:13.1%}", flush=True)
    print("! memory was overcommitted")
    print("forecast: error of eta_seconds when half of the pixels were done\n")
    return figures


def forecast_error(run: Simulation, ours: Ours) -> float:
    """Of the remaining time, told when half of the pixels were done; the worst of all but tiny workloads."""
    errors = []
    for workload, (then, eta) in ours.halfway.items():
        ends = [run.finished[job.number] for job in run.jobs if job.workload == workload]
        if len(ends) >= 100:
            left = max(ends) - then
            errors.append(abs(eta.seconds - left) / left)
    return max(errors, default=math.nan)


def growth() -> dict[str, Any]:
    """From few workers to very many; the others' rules look at every worker for each job."""
    figures = {}
    for workers in (10, 100, 1000, 10_000):
        machines = [Machine(f"m{i}", speed=1.0 + i % 4) for i in range(workers)]
        jobs = photos(100 * workers)
        start = perf_counter()
        run = Simulation(Ours(), machines, jobs).run()
        each = (perf_counter() - start) / len(jobs) * 1e6
        ratio = figures[f"{workers:,} workers"] = round(run.makespan / bound(machines, jobs), 3)
        print(
            f"{workers:6,} workers, {len(jobs):9,} jobs: {ratio:.3f}, {each:.0f} µs a job in all", flush=True
        )
    print()
    return figures


def small_user(scale: float) -> dict[str, Any]:
    """How long those with few images wait, in job times."""
    print(f"{'done after so many job times':38}" + "".join(f"{name:>14}" for name in RULES))
    figures: dict[str, Any] = {"1 image": {}, "100 images": {}, "10,000 images": {}}
    for name, make in RULES.items():
        machines, jobs = users(scale)
        run = Simulation(make(), machines, jobs).run()
        typical = statistics.mean(job.seconds for job in jobs)
        for user, label in zip(("one", "some", "many"), figures, strict=True):
            last = max(run.finished[job.number] for job in jobs if job.workload == user)
            figures[label][name] = round(last / typical, 1)
    for label, times in figures.items():
        print(f"{label:38}" + "".join(f"{times[name]:14.1f}" for name in RULES))
    print()
    return figures


def fairness() -> dict[str, Any]:
    """How much longer each user waits beside others than alone."""
    print("waited, less the others' longest job ÷ what it takes alone ÷ number of users: 2 at most")
    figures: dict[str, Any] = {}
    for mix, users_ in MIXES.items():
        found = slowdowns(lambda: [Machine("m0"), Machine("m1")], users_)
        figures[mix] = {name: round(ratio, 2) for name, ratio in found.items()}
        print(f"{mix:54}" + "  ".join(f"{name} {ratio:.2f}" for name, ratio in found.items()), flush=True)
    print()
    return figures


# What it costs


def waiting_memory(jobs: int) -> State:
    """Bytes and time per waiting job. Returns the state that holds them."""
    state = State(lambda steps: False, SchedulerLimits())
    workloads = [
        Workload(f"w{i}", f"u{i % 3}", WorkloadSpec("w", (("blur", {}),)), "d", 0.0) for i in range(10)
    ]
    for workload in workloads:
        state.handle(e.WorkloadOpened(workload), 0.0)
    gc.collect()
    before, seconds, slice_ = resident(), 0.0, 500
    for first in range(0, jobs, slice_):
        page = [WaitingJob(first + i, 1280 * 720, 1280 * 720 * 15) for i in range(slice_)]
        start = perf_counter()
        state.handle(e.JobsWaiting(f"w{first // slice_ % 10}", page), 0.0)
        seconds += perf_counter() - start
    gc.collect()
    used = resident() - before
    print(f"{jobs:,} waiting jobs: {used / 2**20:.0f} MiB, {used / jobs:.1f} bytes each, {seconds:.1f} s")
    return state


def decision_time(state: State, workers: int, decisions: int) -> dict[str, float]:
    """From the end of one job to the choice of the next, all workers busy; medians of batches."""
    for i in range(workers):
        machine = Machine(f"m{i}", slots=1, memory=(4 + i % 61) * GIB)
        state.handle(e.WorkerJoined(machine.name, info_of(machine)), 0.0)
        state.handle(e.WorkerReported(machine.name, Load(0.0, machine.memory, machine.memory)), 0.0)
    running: deque[tuple[str, Lease]] = deque()

    def decide(now: float) -> tuple[float, int]:
        """Seconds, and jobs placed."""
        start = perf_counter()
        instructions = state.handle(e.Decide(64), now)
        seconds = perf_counter() - start
        assigns = [one for one in instructions if isinstance(one, Assign)]
        for assign in assigns:
            leased = leased_job(assign.job)
            state.handle(e.LeaseGranted(leased), now)
            running.append((assign.session, leased.lease))
        return seconds, len(assigns)

    known = -1
    while known < len(running):
        known = len(running)
        decide(0.0)
    endings: list[float] = []
    choices: list[tuple[float, int]] = []
    for turn in range(decisions):
        session, lease = running.popleft()
        start = perf_counter()
        state.handle(e.ResultCommitted(lease), 1.0)
        state.handle(e.JobEnded(session, lease, Outcome.DONE, seconds=0.02 + turn % 7 / 1000), 1.0)
        endings.append(perf_counter() - start)
        choices.append(decide(1.0))
    unit, figures = loop_time(), {}
    ends = [statistics.mean(endings[i : i + 100]) for i in range(0, decisions, 100)]
    placings = [
        sum(seconds for seconds, _ in some) / max(1, sum(placed for _, placed in some))
        for some in (choices[i : i + 100] for i in range(0, decisions, 100))
    ]
    for label, batches in (("a job ends (two events)", ends), ("a decision", placings)):
        print(
            f"{workers:,} workers, {label}: {statistics.median(batches) * 1e6:.1f} µs, "
            f"best {min(batches) * 1e6:.1f} µs = {min(batches) / unit:.0f} turns of an empty loop"
        )
        figures[label] = round(statistics.median(batches) * 1e6, 1)
    return figures


def loop_time() -> float:
    """Seconds for one turn of a loop that adds two numbers: how fast this machine is just now."""

    def loop(total: int = 0) -> float:
        start = perf_counter()
        for i in range(20_000):
            total += i
        return (perf_counter() - start) / 20_000

    return min(loop() for _ in range(50))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--full", action="store_true", help="larger scenes, a million jobs (some minutes)")
    add_option(parser)
    parser.add_argument("--share", type=float, default=1.0, help="of the jobs and workers")
    options = parser.parse_args()
    share = options.share
    scenes = compare(4 if options.full else share)
    waits = small_user(share)
    shares = fairness()
    workers = growth() if options.full else {}
    state = waiting_memory(1_000_000 if options.full else round(200_000 * share))
    costs = decision_time(state, round(10_000 * share), 20_000 if options.full else round(3_000 * share))
    if options.record:
        figures = {
            "scenes": scenes,
            "waits": waits,
            "fairness": shares,
            "workers": workers,
            "microseconds": costs,
        }
        keep("scheduling", figures, options.record)


if __name__ == "__main__":
    main()

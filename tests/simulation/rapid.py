"""Many small worlds a second: the real scheduler and the real datastore, behind a wire that is only a delay.

Workers, users and faults are a few lines each here, so that thousands of orders of events are tried where the
whole cluster has time for one: ``python -m tests.simulation.rapid --seeds 20000``.
"""

from __future__ import annotations

import argparse
import atexit
import gc
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

from attrs import define, evolve, field
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger
from zope.interface import implementer

from dpip.datastore.datastore import Datastore
from dpip.errors import DpipError, RetryLater
from dpip.interfaces import IWorkerLink
from dpip.model import (
    CertificateRecord,
    Lease,
    LeasedJob,
    Outcome,
    Role,
    StoredFile,
    StoredPicture,
    WorkerInfo,
)
from dpip.scheduler.limits import SchedulerLimits
from dpip.scheduler.service import Scheduler
from tests.datastore.support import EVERYWHERE, DatabaseFor
from tests.scheduler.fakes import info, load, workload
from tests.simulation.checker import rows_that_cannot_be
from tests.simulation.clock import Clock, Timer
from tests.simulation.network import Kernel

_CALM = 20.0
_BOUND = 120.0
_REPORT = 4.0
_WORKERS = 3
_TABLES = ("attempts", "jobs", "images", "purges", "keys", "workloads", "activity")


class _Stage:
    """The threads and the reactor of the one datastore that all worlds of this process share."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.chance = Random(0)
        self.kernel = Kernel()

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """There is nothing to stop."""

    def callInThread(self, function: Callable[..., Any], *args: Any) -> None:
        self.clock.call(self.kernel, self.chance.expovariate(500), function, *args)

    def callFromThread(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        self.clock.call(self.kernel, self.chance.expovariate(2000), function, *args, **kwargs)


def _info(name: str, slots: int) -> WorkerInfo:
    return evolve(info(name, slots, slots + 2), fingerprint=f"stand-in of {name}")


@cache
def _ground() -> tuple[_Stage, Datastore, DatabaseFor]:
    stage = _Stage()
    fast = "/dev/shm" if Path("/dev/shm").is_dir() else None
    path = Path(tempfile.mkdtemp(prefix="dpip-rapid-", dir=fast)) / "dpip.sqlite"
    atexit.register(shutil.rmtree, path.parent, ignore_errors=True)
    database = DatabaseFor.made(path, EVERYWHERE)
    datastore = Datastore(database.place, stage, lambda most, name: stage)  # type: ignore[arg-type]
    datastore.startService()
    datastore.add_user("ann", "", Role.USER, None, 0.0)
    for number in range(_WORKERS):
        datastore.issue_certificate(CertificateRecord(f"{number}", f"worker{number}", "", 0.0, 1.0), 0.0)
        datastore.worker_joined(_info(f"worker{number}", 1), "", 0.0, f"{number}")
    stage.clock.run(1.0, lambda: False)
    return stage, datastore, database


@define(eq=False)
class _Process:
    """A controller's process: what its scheduler has set going ends with it."""

    clock: Clock
    name: str = "controller"
    dead: bool = False
    hung_until: float = 0.0

    def seconds(self) -> float:
        return self.clock.now

    def callLater(self, delay: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Timer:
        return self.clock.call(self, delay, function, *args, **kwargs)


class _Unreliable:
    """The datastore as the scheduler sees it: now and then it is busy."""

    def __init__(self, datastore: Datastore, world: World) -> None:
        self._datastore = datastore
        self._world = world

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._datastore, name)

        def ask(*args: Any) -> Deferred[Any]:
            world = self._world
            if world.chance.random() < world.trouble:
                return fail(RetryLater("The database is busy."))
            return method(*args)

        return ask


@implementer(IWorkerLink)
@define(eq=False)
class _Worker:
    """A worker and the link to it, for one joining after another."""

    world: World
    name: str
    slots: int
    session: str = ""
    in_hand: dict[Lease, LeasedJob] = field(factory=dict)
    deaf: bool = False

    def join(self) -> None:
        world = self.world
        if world.scheduler is None:
            return
        self.leave()
        self.session = f"{self.name}-{world.clock.events}"
        world.scheduler.worker_joined(self.session, _info(self.name, self.slots), self)
        self._report(self.session)

    def leave(self) -> None:
        session, self.session = self.session, ""
        self.in_hand.clear()
        if session and self.world.scheduler is not None:
            self.world.scheduler.worker_lost(session)

    def _report(self, session: str) -> None:
        world = self.world
        if session == self.session and world.scheduler is not None:
            world.scheduler.worker_reported(session, load(running=[lease.job for lease in self.in_hand]))
            world.later(_REPORT, self._report, session)

    # IWorkerLink

    def run(self, jobs: Sequence[LeasedJob]) -> Deferred[None]:
        taken: Deferred[None] = Deferred()
        session = self.session
        self.world.later(self.world.delay(), self._take, session, jobs, taken)
        return taken

    def cancel(self, leases: Sequence[Lease]) -> None:
        for lease in leases:
            self.world.later(self.world.delay(), self.in_hand.pop, lease, None)

    def drop(self, reason: str) -> None:
        self.world.later(0.0, self.join)

    def _take(self, session: str, jobs: Sequence[LeasedJob], taken: Deferred[None]) -> None:
        world = self.world
        if session != self.session or self.deaf:
            world.later(1.0, taken.errback, RetryLater("No answer."))
            return
        for job in jobs:
            self.in_hand[job.lease] = job
            world.later(world.chance.expovariate(2), self._end, session, job)
        world.later(world.delay(), taken.callback, None)

    def _end(self, session: str, job: LeasedJob) -> None:
        if session != self.session or job.lease not in self.in_hand:
            return
        world = self.world
        outcome = world.fate(job)
        if outcome is Outcome.DONE:
            world.later(world.delay(), world.upload, self.name, session, job)
            if world.chance.random() < 0.1:  # the hint is lost
                return
        del self.in_hand[job.lease]
        world.later(world.delay(), world.tell, session, job.lease, outcome)


class World:
    """One world, for one seed."""

    log = Logger()

    def __init__(self, seed: int) -> None:
        self.stage, self.datastore, self.database = _ground()
        self.chance = Random(f"rapid:{seed}")
        self.clock = self.stage.clock = Clock()
        self.stage.chance = self.chance
        self.trouble = 0.0
        self.calm = False
        self.violations: list[str] = []
        self.scheduler: Scheduler | None = None
        self._process = _Process(self.clock)
        self._poisoned: set[int] = set()
        self._numbers = 0
        self._workers = [
            _Worker(self, f"worker{number}", self.chance.choice((1, 1, 2)))
            for number in range(self.chance.randint(1, _WORKERS))
        ]

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> None:
        self.clock.call(self.stage.kernel, seconds, function, *args)

    def delay(self) -> float:
        return self.chance.expovariate(200) if self.chance.random() < 0.9 else self.chance.expovariate(1)

    # The controller

    def start(self) -> None:
        """A new process: what was leased waits again."""
        self._process = _Process(self.clock)
        self.datastore.recover(self.clock.now).addCallback(self._recovered, self._process)

    def _recovered(self, _: None, process: _Process) -> None:
        if process.dead:
            return
        self.scheduler = Scheduler(
            process,
            _Unreliable(self.datastore, self),
            new_nonce=lambda: f"nonce{self.chance.getrandbits(40)}",
            limits=SchedulerLimits(lease_seconds=60.0),
        )
        self.scheduler.startService()
        for worker in self._workers:
            self.later(self.chance.expovariate(2), worker.join)

    def kill(self) -> None:
        """What waits to be written is lost; what was written is not."""
        self._process.dead = True
        self.scheduler = None
        writer = self.datastore._storage.writer  # type: ignore[union-attr]
        writer._waiting.clear()
        for worker in self._workers:
            worker.session = ""
            worker.in_hand.clear()
        self.later(self.chance.expovariate(2), self.start)

    def tell(self, session: str, lease: Lease, outcome: Outcome) -> None:
        if self.scheduler is not None:
            self.scheduler.job_ended(session, lease, outcome, "code", "detail", 0.1)

    def upload(self, worker: str, session: str, job: LeasedJob) -> None:
        scheduler = self.scheduler
        if scheduler is None or scheduler.leased(session, job.lease) is None:
            return  # 409
        finished = self.datastore.finish(job.lease, worker, self._file(), self.clock.now)
        finished.addCallbacks(lambda _: self._committed(scheduler, job.lease), self._refused)

    def _committed(self, scheduler: Scheduler, lease: Lease) -> None:
        if scheduler is self.scheduler:
            scheduler.result_committed(lease)

    def _refused(self, failure: Any) -> None:
        failure.trap(DpipError)

    # What happens

    def fate(self, job: LeasedJob) -> Outcome:
        if job.lease.job in self._poisoned:
            return Outcome.CRASHED
        luck = 1.0 if self.calm else self.chance.random()
        if luck < 0.05:
            return Outcome.CRASHED
        if luck < 0.1:
            return Outcome.RETURNED
        return Outcome.FAILED if luck < 0.15 else Outcome.DONE

    def _file(self) -> StoredFile:
        self._numbers += 1
        digest = f"{self._numbers:064x}"
        return StoredFile(
            f"{self._numbers}.png", 100, digest, StoredPicture("PNG", "image/png", 100, 100, 30_000)
        )

    def order(self) -> None:
        """A workload with a few originals, in a few uploads; perhaps cancelled, retried, deleted again."""
        self._numbers += 1
        made = workload(f"w{self._numbers}", "ann")
        self.datastore.add_workload(made, None).addCallback(self._ordered)

    def _ordered(self, made: Any) -> None:
        if self.scheduler is not None:
            self.scheduler.workload_opened(made)
        for _ in range(self.chance.randint(1, 3)):
            self.later(self.chance.expovariate(0.5), self._send, made, self.chance.randint(1, 4))
        if self.chance.random() < 0.15:
            self.later(self.chance.uniform(0, 10), self._delete, made)
        for change, likely in ((self._cancel, 0.25), (self._retry, 0.4), (self._retry, 0.4)):
            if self.chance.random() < likely:
                self.later(self.chance.uniform(0, 12), change, made)

    def _send(self, made: Any, count: int) -> None:
        files = []
        for _ in range(count):
            file = self._file()
            files.append((f"o{self._numbers}", f"r{self._numbers}", file))
        added = self.datastore.add_originals(made.id, files, None, self.clock.now)
        added.addCallbacks(lambda answer: self._sent(made, answer[0]), self._refused)

    def _sent(self, made: Any, accepted: Any) -> None:
        for original in accepted:
            if self.chance.random() < 0.05:
                self._poisoned.add(original.job.job)
        if self.scheduler is not None:
            self.scheduler.workload_opened(made)
            self.scheduler.jobs_waiting(made.id, [original.job for original in accepted])

    def _delete(self, made: Any) -> None:
        self.datastore.delete_workload(made.id, self.clock.now).addCallback(lambda _: self._deleted(made))

    def _cancel(self, made: Any) -> None:
        cancelled = self.datastore.cancel_workload(made.id, self.clock.now)
        cancelled.addCallbacks(lambda _: self._deleted(made), self._refused)

    def _retry(self, made: Any) -> None:
        retried = self.datastore.retry_images(made.id, None, -1, self.clock.now)
        retried.addCallbacks(lambda answer: self._retried(made, answer[1]), self._refused)

    def _retried(self, made: Any, jobs: Any) -> None:
        if self.scheduler is not None and jobs:
            self.scheduler.workload_opened(made)
            self.scheduler.jobs_waiting(made.id, jobs)

    def _deleted(self, made: Any) -> None:
        if self.scheduler is not None:
            self.scheduler.workload_dropped(made.id)

    def happen(self) -> None:
        """One fault."""
        chance, worker = self.chance, self.chance.choice(self._workers)
        what = chance.choice(("kill", "leave", "leave", "deaf", "busy"))
        if what == "kill":
            self.kill()
        elif what == "leave":
            worker.leave()
            self.later(chance.expovariate(1), worker.join)
        elif what == "deaf":
            worker.deaf = True
            self.later(chance.expovariate(0.5), setattr, worker, "deaf", False)
        else:
            self.trouble = 0.5
            self.later(chance.expovariate(1), setattr, self, "trouble", 0.0)

    # The story

    def tell_story(self) -> None:
        self._clear()
        self.start()
        for _ in range(self.chance.choice((1, 1, 2))):
            self.later(self.chance.uniform(0, 3), self.order)
        for _ in range(self.chance.choice((0, 0, 1, 1, 2, 4))):
            self.later(self.chance.uniform(0, 10), self.happen)
        self.clock.run(_CALM, lambda: False)
        self.trouble, self.calm = 0.0, True
        for worker in self._workers:
            worker.deaf = False
        end = self.clock.now + _BOUND
        while self._unfinished() and self.clock.now < end:
            self.clock.run(self.clock.now + 5.0, lambda: False)
        self.clock.run(self.clock.now + 5.0, lambda: False)
        self._check()
        self.kill()

    def _unfinished(self) -> bool:
        assert self.scheduler is not None
        [(count,)] = self.database.rows(
            "SELECT count(*) FROM jobs JOIN workloads w ON w.id = workload_id "
            "WHERE state IN ('waiting', 'leased') AND w.deleted IS NULL"
        )
        return bool(count)

    def _check(self) -> None:
        assert self.scheduler is not None
        with self.database.connected() as database:
            self.violations += rows_that_cannot_be(database, joined=False)
        state = self.scheduler._state
        if state._held_jobs.any():
            self.violations.append(f"jobs are held though all have ended: {list(state._held_jobs._held)}")
        for worker in state._roster.workers.values():
            if worker.held:
                self.violations.append(f"slots of {worker.info.name} are taken though all jobs have ended")

    def _clear(self) -> None:
        """As if the database were new."""
        with self.database.connected() as database:
            database.execute("BEGIN")
            for table in _TABLES:
                database.execute(f"DELETE FROM {table}")
            database.execute("UPDATE users SET used = 0")
            database.execute("COMMIT")


def violations_of(seed: int) -> list[str]:
    """What goes wrong in the world of this seed."""
    world = World(seed)
    world.tell_story()
    return world.violations


def _several(seeds: range) -> list[tuple[int, list[str]]]:
    gc.disable()
    found = [(seed, violations_of(seed)) for seed in seeds]
    gc.collect()
    return [(seed, words) for seed, words in found if words]


def _bad(seeds: range, processes: int) -> Iterator[tuple[int, list[str]]]:
    parts = [seeds[start : start + 100] for start in range(0, len(seeds), 100)]
    with ProcessPoolExecutor(processes) as pool:
        for found in pool.map(_several, parts):
            yield from found


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.rapid", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1000, help="how many, from there on")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    bad = 0
    for seed, words in _bad(range(given.seed, given.seed + given.seeds), given.processes):
        bad += 1
        print(f"seed {seed}: {'; '.join(words)}")
    seconds = time.perf_counter() - began
    rate = 60 * given.seeds / seconds
    print(f"{given.seeds} worlds, {bad} with violations; {seconds:.1f} s, {rate:.0f} a minute")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""One simulation from its seed to its verdict."""

from __future__ import annotations

import atexit
import gc
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any
from unittest.mock import patch

from attrs import frozen
from twisted.internet import task
from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure
from twisted.web import http
from werkzeug.routing import Rule

from tests.simulation import checker, faults
from tests.simulation.disk import watched
from tests.simulation.nodes import WorkerNode, add_controller, add_worker, prepare, stopped
from tests.simulation.process import Process
from tests.simulation.users import OutOfTime, User
from tests.simulation.world import Machine, World

_LIMIT = 2000.0
_GOODBYE = 120.0
_PAUSE = 5.0
_REST = 240.0
_USERS = ("anna", "berta", "clara")


@frozen
class Verdict:
    """``digest`` is the trace's; equal seeds give equal ones."""

    seed: int
    violations: list[str]
    digest: str
    trace: list[str]
    seconds: float
    events: int


@cache
def template() -> Path:
    """A state directory with its users, made once in this process."""
    directory = Path(tempfile.mkdtemp(prefix="dpip-simulation-template-", dir=_fast_disk()))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    prepare(directory, list(_USERS))
    return directory


def _fast_disk() -> str | None:
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def simulate(
    seed: int, keep_trace: bool = False, plan: faults.Plan | None = None, until_violation: bool = False
) -> Verdict:
    """Everything that follows from this seed, or all up to the first violation. ``plan`` replaces the faults
    that the seed would choose."""
    files = template()
    root = Path(tempfile.mkdtemp(prefix="dpip-simulation-", dir=_fast_disk()))
    world = World(seed, root, keep_trace)
    try:
        with _surroundings(world):
            _tell(world, files, plan or faults.plan(world.streams["faults"]), until_violation)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    clock = world.clock
    return Verdict(seed, world.violations, world.trace.digest, world.trace.lines, clock.now, clock.events)


@contextmanager
def _surroundings(world: World) -> Iterator[None]:
    """Nothing from outside comes in: no wall clock, no garbage collector, no log but the trace."""

    def observe(event: dict) -> None:  # type: ignore[type-arg]
        level = event.get("log_level", LogLevel.info)
        if level >= LogLevel.info:
            words = formatEvent(event)
            failure = event.get("log_failure")
            if failure is not None:
                words = f"{words} {failure.getTraceback()}"
            world.logged(level.name, words.replace(str(world.root), ""))

    with ExitStack() as stack:
        stack.enter_context(watched(world.disk_of))
        stack.enter_context(
            patch.object(http, "datetimeToString", lambda *_: b"Tue, 14 Nov 2023 22:13:20 GMT")
        )
        globalLogPublisher.addObserver(observe)
        stack.callback(globalLogPublisher.removeObserver, observe)
        stack.enter_context(patch.object(task, "_theCooperator", _Cooperators(world)))
        # Klein's routes are also compiled to make addresses, which is never asked for and takes 30 ms.
        stack.enter_context(patch.object(Rule, "_compile_builder", lambda *_: _no_address))
        gc.collect()  # what an earlier simulation has left; not in the middle of this one
        gc.freeze()  # so that the next time only what this one leaves is looked at
        gc.disable()
        stack.callback(gc.enable)
        yield


def _no_address(rule: Rule, **_: object) -> None:
    """Nobody asks for one."""


class _Cooperators:
    """In place of Twisted's global one, which treq uses for small bodies: one for each process."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._known: dict[object, task.Cooperator] = {}

    def cooperate(self, iterator: Any) -> Any:
        process = self._world.clock.running
        if process not in self._known:
            self._known[process] = task.Cooperator(scheduler=lambda tick: process.callLater(0, tick))
        return self._known[process].cooperate(iterator)


def _tell(world: World, files: Path, plan: faults.Plan, until_violation: bool) -> None:
    chance = world.streams["story"]
    controller = add_controller(world, files)
    workers = [
        add_worker(world, number, chance.choice((1, 1, 2)), files) for number in range(1, plan.workers + 1)
    ]
    more = []
    if plan.twins:
        more.append(add_worker(world, 8, 1, files, name="worker1"))
    if plan.stranger:
        more.append(add_worker(world, 9, 1, files, version="0"))
    users: list[User] = []
    for name in _USERS[: chance.choice((1, 1, 2, 3))]:
        users.append(_user(world, name, chance.choice((1, 2, 3, 4, 8)), users))
    for machine in [controller, *(worker.machine for worker in [*workers, *more])]:
        world.later(chance.uniform(0, 3), machine.start)
    plan.begin(faults.Scene(world, controller, workers, world.streams["faults"]))
    ended = DeferredList([user.done for user in users])
    world.clock.run(_LIMIT, lambda: ended.called or (until_violation and bool(world.violations)))
    if until_violation and world.violations:
        return
    if not ended.called:
        world.violated(f"I7: the story has not ended after {_LIMIT:.0f} s")
    _come_to_rest(world, controller, workers)
    _goodbye(world, [*workers, *more])
    checker.check(world, controller, users)


def _user(world: World, name: str, images: int, others: Sequence[User]) -> User:
    number = _USERS.index(name)
    machine = world.machine(name, f"10.0.2.{number + 1}", lambda process: None)
    machine.start()
    assert machine.process is not None
    user = User(world, machine.process, name, images, others)
    world.clock.call(machine.process, 0.0, _live, world, user, machine.process)
    return user


def _live(world: World, user: User, process: Process) -> None:
    def ended(result: object) -> None:
        if isinstance(result, Failure) and not result.check(OutOfTime):
            world.violated(f"{user.name} is at a loss: {result.getTraceback()}")
        user.done.callback(None)

    Deferred.fromCoroutine(user.live()).addBoth(ended)


def _come_to_rest(world: World, controller: Machine, workers: Sequence[WorkerNode]) -> None:
    """What was cancelled may take a while: a transfer on a silent connection waits for its deadline."""
    if controller.service is None:
        return
    end = world.clock.now + _REST
    while (left := checker.busy(world, controller, workers)) and world.clock.now < end:
        world.clock.run(world.clock.now + _PAUSE, lambda: False)
    for words in left:
        world.violated(words)


def _goodbye(world: World, workers: list) -> None:  # type: ignore[type-arg]
    """Everything is ended in good order; nothing may be left."""
    for machine in [*(worker.machine for worker in workers), world.machines["controller"]]:
        if machine.process is None or machine.service is None:
            world.violated(f"{machine.name} is not running in the end")
            continue
        gone = stopped(machine)
        gone.addErrback(lambda failure, name=machine.name: world.violated(f"{name} does not stop: {failure}"))
        world.clock.run(world.clock.now + _GOODBYE, lambda gone=gone: gone.called)
        if not gone.called:
            world.violated(f"{machine.name} has not stopped after {_GOODBYE:.0f} s")
        world.clock.run(world.clock.now + _PAUSE, lambda: False)
    world.clock.run(world.clock.now + _GOODBYE, lambda: False)

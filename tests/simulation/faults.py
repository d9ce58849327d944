"""Faults, all from the seed: which kinds there are, and a plan of when each begins and how long it lasts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import TYPE_CHECKING, Any

from attrs import define, frozen

if TYPE_CHECKING:
    from tests.simulation.nodes import WorkerNode
    from tests.simulation.world import Machine, World

_BEGIN, _END = 1.0, 30.0
_DURATION = 5.0
_SOON = 0.05


@frozen
class Scene:
    """What there is to break. ``chance`` is the fault's own."""

    world: World
    controller: Machine
    workers: Sequence[WorkerNode]
    chance: Random

    def some_machine(self) -> Machine:
        machines = [self.controller, *(worker.machine for worker in self.workers)]
        machine: Machine = self.chance.choice(machines)
        return machine

    def some_worker(self) -> WorkerNode:
        return self.chance.choice(self.workers)

    def some_link(self) -> tuple[str, str]:
        """Addresses of the controller and of somebody else."""
        others = [m.address for m in self.world.machines.values() if m is not self.controller]
        return self.controller.address, self.chance.choice(others)

    def some_end(self) -> Any:
        """One end of an open connection, or None."""
        ends = [end for end in self.world.network.ends if end.connected]
        return self.chance.choice(ends) if ends else None


Undo = Callable[[], object]


def refuse(scene: Scene) -> Undo:
    """New connections to the controller are refused."""
    refusing, address = scene.world.network.refusing, scene.controller.address
    refusing.add(address)
    return lambda: refusing.discard(address)


def reset(scene: Scene) -> Undo | None:
    """A connection breaks, and both ends learn of it."""
    end = scene.some_end()
    if end is not None:
        end.out.reset()
        end.peer_pipe.reset()
    return None


def one_sided_loss(scene: Scene) -> Undo | None:
    """A connection breaks, and one end never learns of it."""
    end = scene.some_end()
    if end is not None:
        end.break_off()
    return None


def stall(scene: Scene) -> Undo | None:
    """A connection goes silent for ever."""
    end = scene.some_end()
    if end is not None:
        end.go_silent()
    return None


def partition(scene: Scene) -> Undo:
    """Nothing passes between the controller and somebody for a while."""
    network, link = scene.world.network, frozenset(scene.some_link())
    network.cut.add(link)

    def heal() -> None:
        network.cut.discard(link)
        for end in list(network.ends):
            end.out.retransmit()

    return heal


def slow_link(scene: Scene) -> Undo:
    """Everything from and to somebody takes very long."""
    network = scene.world.network
    _, address = scene.some_link()
    network.slow[address] = scene.chance.choice((20.0, 200.0, 1000.0))
    return lambda: network.slow.pop(address, None)


def kill(scene: Scene) -> Undo:
    """A process is killed; its disk stays as it was."""
    machine = scene.some_machine()
    machine.kill()
    return machine.start


def power_failure(scene: Scene) -> Undo:
    """A machine loses its power; what was not fsynced may be lost, and nobody is told."""
    machine = scene.some_machine()
    machine.kill(power_failed=True)
    return machine.start


def kill_at_sync(scene: Scene) -> Undo:
    """The controller's power fails just before or after one of its next durable steps."""
    machine = scene.controller
    disk = machine.disk
    steps = scene.chance.randint(1, 12)
    power = scene.chance.random() < 0.7

    def count(path: str) -> None:
        nonlocal steps
        steps -= 1
        if steps == 0 and disk is machine.disk:
            machine.kill(power_failed=power)

    if scene.chance.random() < 0.5:
        disk.before_sync = count
    else:
        disk.after_sync = count
    return machine.start


def hang(scene: Scene) -> Undo | None:
    """A process does nothing for a while, then goes on where it was."""
    process = scene.some_machine().process
    if process is not None:
        process.hung_until = scene.world.clock.now + scene.chance.expovariate(1 / 8)
    return None


def disk_full(scene: Scene) -> Undo:
    """There is no room on a machine's disk."""
    machine = scene.some_machine()
    machine.disk.full = True

    def room() -> None:
        machine.disk.full = False

    return room


def bad_sectors(scene: Scene) -> Undo:
    """Now and then a file of the controller cannot be made durable."""
    machine, share = scene.controller, scene.chance.choice((0.1, 0.5))
    machine.disk.fails_to_sync = lambda: scene.chance.random() < share

    def good() -> None:
        machine.disk.fails_to_sync = lambda: False

    return good


def database_busy(scene: Scene) -> Undo:
    """Another process writes to the database."""
    machine = scene.controller
    machine.disk.busy = True

    def free() -> None:
        machine.disk.busy = False

    return free


def slow_disk(scene: Scene) -> Undo:
    """The controller's threads take very long."""
    machine = scene.controller
    machine.disk.slowness = scene.chance.choice((30.0, 300.0))

    def fast() -> None:
        machine.disk.slowness = 1.0

    return fast


def unsure_commit(scene: Scene) -> Undo:
    """A commit fails with an I/O error, and is there after the crash that follows soon."""
    machine = scene.controller
    disk = machine.disk

    def crash_soon() -> None:
        disk.unsure = None
        scene.world.later(scene.chance.expovariate(1 / _SOON), crash)

    def crash() -> None:
        if machine.disk is disk:
            machine.kill()

    def sure() -> None:
        disk.unsure = None
        machine.start()

    disk.unsure = crash_soon
    return sure


def kernel_errors(scene: Scene) -> Undo | None:
    """Filters of a worker refuse pictures, or die."""
    engine = scene.some_worker().engine
    if engine is None:
        return None
    engine.crashing = scene.chance.choice((0.0, 0.5, 1.0))

    def well() -> None:
        engine.crashing = 0.0

    return well


def child_killed(scene: Scene) -> Undo | None:
    """The kernel kills a compute child."""
    process = scene.some_worker().machine.process
    children = list(process.children) if process is not None else []
    if children:
        scene.chance.choice(children).crash()
    return None


def slow_worker(scene: Scene) -> Undo | None:
    """Computing takes much longer than usual."""
    engine = scene.some_worker().engine
    if engine is None:
        return None
    engine.slowness = scene.chance.choice((5.0, 30.0))

    def usual() -> None:
        engine.slowness = 1.0

    return usual


def clock_jump(scene: Scene) -> Undo | None:
    """Somebody sets a machine's clock."""
    process = scene.some_machine().process
    if process is not None:
        process.jump(scene.chance.choice((-3600.0, -30.0, -2.0, 2.0, 30.0, 3600.0)))
    return None


KINDS: Sequence[Callable[[Scene], Undo | None]] = (
    refuse,
    reset,
    one_sided_loss,
    stall,
    partition,
    slow_link,
    kill,
    power_failure,
    kill_at_sync,
    hang,
    disk_full,
    bad_sectors,
    database_busy,
    slow_disk,
    unsure_commit,
    kernel_errors,
    child_killed,
    slow_worker,
    clock_jump,
)


@frozen
class Happening:
    at: float
    lasts: float
    kind: Callable[[Scene], Undo | None]


@define
class Plan:
    """What befalls a world. ``twins`` adds a worker of a name that is taken, ``stranger`` one of another
    version."""

    workers: int
    happenings: Sequence[Happening]
    twins: bool
    stranger: bool
    _left: int = 0

    def begin(self, scene: Scene) -> None:
        self._left = len(self.happenings)
        for happening in self.happenings:
            scene.world.later(happening.at, self._happen, scene, happening)
        if not self._left:
            scene.world.later(_BEGIN, self._calm, scene)

    def _happen(self, scene: Scene, happening: Happening) -> None:
        scene.world.trace(f"FAULT {happening.kind.__name__}")
        undo = happening.kind(scene)
        scene.world.later(happening.lasts, self._end, scene, happening, undo)

    def _end(self, scene: Scene, happening: Happening, undo: Undo | None) -> None:
        if undo is not None:
            scene.world.trace(f"END OF {happening.kind.__name__}")
            undo()
        self._left -= 1
        if not self._left:
            self._calm(scene)

    def _calm(self, scene: Scene) -> None:
        """Everything works from now on."""
        world = scene.world
        world.trace("THE FAULTS ARE OVER")
        world.network.heal()
        for machine in world.machines.values():
            machine.disk.heal()
            if machine.process is None:
                machine.start()
        world.calm_since = world.clock.now
        world.calm.callback(None)


def plan(chance: Random) -> Plan:
    """Some kinds of faults, and some of each: with all kinds in every world the rare ones would be hidden."""
    kinds = chance.sample(KINDS, chance.randint(0, 5))
    happenings = [
        Happening(chance.uniform(_BEGIN, _END), chance.expovariate(1 / _DURATION), chance.choice(kinds))
        for _ in range(chance.randint(1, 6) if kinds else 0)
    ]
    return Plan(
        workers=chance.choice((1, 2, 2, 3)),
        happenings=happenings,
        twins=chance.random() < 0.1,
        stranger=chance.random() < 0.1,
    )

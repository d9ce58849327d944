"""A simulated world: machines on one network, each with a disk that outlives its processes."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from tests.simulation.clock import Clock, Killed
from tests.simulation.disk import Disk
from tests.simulation.network import Network
from tests.simulation.process import Process
from tests.simulation.streams import Streams

_LOG_LINES = 5000
"""Of one process: more would mean that the log is not bounded."""


class Trace:
    """What happened, in order. Kept as text only on demand; its hash tells two runs apart."""

    def __init__(self, clock: Clock, keep: bool) -> None:
        self.lines: list[str] = []
        self._clock = clock
        self._keep = keep
        self._hash = hashlib.sha256()

    def __call__(self, words: str) -> None:
        line = f"{self._clock.now:11.6f} {words}"
        self._hash.update(line.encode())
        if self._keep:
            self.lines.append(line)

    @property
    def digest(self) -> str:
        return self._hash.hexdigest()[:16]


@define(eq=False)
class Machine:
    """``boot(process)`` starts what runs there; a process that ends is started again, as by systemd."""

    world: World
    name: str
    address: str
    boot: Callable[[Process], object]
    disk: Disk
    process: Process | None = field(default=None, init=False)
    incarnation: int = field(default=0, init=False)
    service: Any = field(default=None, init=False)
    _graveyard: list[Any] = field(factory=list, init=False)  # nothing is collected while the world turns

    def start(self) -> None:
        if self.process is not None:
            return
        self.incarnation += 1
        world = self.world
        world.network.off.discard(self.address)
        streams = world.streams.child(f"{self.name}.{self.incarnation}")
        name = self.name if self.incarnation == 1 else f"{self.name}/{self.incarnation}"
        self.process = process = Process(name, self.address, world.clock, world.network, streams, self.disk)
        world.trace(f"{name} starts")
        world.clock.call(process, 0.0, self.boot, process)

    def kill(self, power_failed: bool = False) -> None:
        """At any instruction: what runs in it now goes no further."""
        process = self.process
        if process is None:
            return
        world = self.world
        world.trace(f"{process.name} {'loses power' if power_failed else 'is killed'}")
        if power_failed:
            world.network.off.add(self.address)
        process.die()
        self._graveyard.append((process, self.service))
        self.process = self.service = None
        root = world.root / f"{self.name}.{self.incarnation + 1}"
        self.disk = self.disk.survive(root, power_failed, world.streams["disk"])
        world.disks[root.name] = self.disk
        if world.clock.running is process:
            raise Killed


class World:
    """Everything there is, for one seed. ``root`` is a directory of its own."""

    def __init__(self, seed: int, root: Path, keep_trace: bool = False) -> None:
        self.seed = seed
        self.root = root
        self.clock = Clock()
        self.trace = Trace(self.clock, keep_trace)
        self.streams = Streams(seed)
        self.network = Network(self.clock, self.streams["network"], self.trace)
        self.machines: dict[str, Machine] = {}
        self.disks: dict[str, Disk] = {}
        self.violations: list[str] = []
        self.calm: Deferred[None] = Deferred()
        """Fires when the last fault is over."""
        self.calm_since = 0.0
        self.fingerprints: list[str] = []
        """Of all workers' engines."""
        self._log_lines: dict[str, int] = {}

    def machine(
        self, name: str, address: str, boot: Callable[[Process], object], files: Path | None = None
    ) -> Machine:
        """A new machine, not started; ``files`` is what lies on its disk."""
        root = self.root / f"{name}.1"
        if files is not None:
            shutil.copytree(files, root)
        self.disks[root.name] = Disk(root)
        self.machines[name] = Machine(self, name, address, boot, self.disks[root.name])
        return self.machines[name]

    def disk_of(self, path: str) -> Disk | None:
        """The disk on which this file is."""
        prefix = f"{self.root}/"
        if not path.startswith(prefix):
            return None
        return self.disks.get(path[len(prefix) :].partition("/")[0])

    def violated(self, words: str) -> None:
        self.trace(f"VIOLATION {words}")
        self.violations.append(words)

    def later(self, seconds: float, function: Callable[..., object], *args: object) -> None:
        """An event of the world's own, which no fault touches."""
        self.clock.call(self.network.kernel, seconds, function, *args)

    def logged(self, level: str, words: str) -> None:
        """A line of the process that runs now."""
        name = self.clock.running.name if self.clock.running is not None else "world"
        self.trace(f"{name} {level}: {words}")
        self._log_lines[name] = self._log_lines.get(name, 0) + 1
        if self._log_lines[name] == _LOG_LINES:
            self.violated(f"I6: {name} has written {_LOG_LINES} lines to its log")
        if level == "critical":
            self.violated(f"{name} has failed unexpectedly: {words}")

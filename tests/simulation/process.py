"""A simulated process, which is also the reactor that the product's objects in it are given."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import (
    IHostnameResolver,
    IHostResolution,
    IReactorFromThreads,
    IReactorPluggableNameResolver,
    IReactorProcess,
    IReactorTCP,
    IReactorTime,
)
from zope.interface import implementer

from dpip.runtime.clock import LOOK_SECONDS, catch_up
from dpip.runtime.host import Host
from tests.simulation.clock import Clock, Killed, Timer
from tests.simulation.disk import Disk
from tests.simulation.network import Connector, Network, Port
from tests.simulation.streams import Streams

EPOCH = 1_700_000_000.0
"""What the clocks show when a simulation begins; before any file's real date, so that no sweep takes it."""
_FROM_THREAD = 0.0002
_WORK = 0.001
"""Mean seconds until a thread's answer is heard, and until a thread has done a piece of work."""


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """It has ended already."""


@implementer(IHostnameResolver)
class Names:
    """Every machine is known by its address."""

    def resolveHostName(
        self, receiver: Any, hostName: str, portNumber: int = 0, *_: object, **__: object
    ) -> _Resolution:
        resolution = _Resolution(hostName)
        receiver.resolutionBegan(resolution)
        receiver.addressResolved(IPv4Address("TCP", hostName, portNumber))
        receiver.resolutionComplete()
        return resolution


class Threads:
    """Threads of one process: their work is done inline, each piece at a moment of its own."""

    def __init__(self, process: Process, most: int) -> None:
        self._process = process
        self._free_at = [0.0] * most

    def start(self) -> None:
        """There is nothing to start."""

    def stop(self) -> None:
        """Whatever was asked for will be done."""

    def callInThread(self, func: Callable[..., Any], *args: Any) -> None:
        process = self._process
        first = min(range(len(self._free_at)), key=self._free_at.__getitem__)
        duration = process.streams["threads"].expovariate(1 / _WORK) * process.disk.slowness
        begins = max(process.clock.now, self._free_at[first])
        self._free_at[first] = begins + duration
        process.clock.call(process, begins + duration - process.clock.now, func, *args)


@implementer(IReactorTime, IReactorTCP, IReactorPluggableNameResolver, IReactorFromThreads, IReactorProcess)
class Process:
    """One incarnation of a machine's process; a restarted one is another Process."""

    def __init__(
        self, name: str, address: str, clock: Clock, network: Network, streams: Streams, disk: Disk
    ) -> None:
        self.name = name
        self.address = address
        self.clock = clock
        self.network = network
        self.streams = streams
        self.disk = disk
        self.dead = False
        self.hung_until = 0.0
        self.offset = 0.0  # of its wall clock
        self.nameResolver = Names()
        self.children: dict[Any, None] = {}
        self.spawn: Callable[..., Any] | None = None
        self._timers: dict[Timer, None] = {}
        self._from_threads = 0.0
        self.host = Host(
            wall_clock=self.seconds,
            monotonic=lambda: clock.now,
            entropy=streams["entropy"].randbytes,
            make_threads=lambda most, name, nice=0: Threads(self, most),
            disk_usage=disk.usage,
        )

    # Time

    def seconds(self) -> float:
        return EPOCH + self.offset + self.clock.now

    def _shown(self, at: float) -> float:
        return EPOCH + self.offset + at

    def callLater(self, delay: float, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> Timer:
        if self.dead:
            raise Killed
        timer = Timer(self.clock, self, self.clock.now + delay, callable, args, kwargs, self._shown)
        self._timers[timer] = None
        if len(self._timers) > 500:
            self._timers = {timer: None for timer in self._timers if timer.active()}
        return self.clock.schedule(timer)

    def getDelayedCalls(self) -> list[Timer]:
        return [timer for timer in self._timers if timer.active()]

    def jump(self, seconds: float) -> None:
        """Somebody sets the clock: Twisted's timers follow it, until the thread that looks has seen it."""
        self.offset += seconds
        if seconds < 0:
            self.clock.call(self, LOOK_SECONDS, catch_up, self, -seconds)
        for timer in self.getDelayedCalls():
            self.clock.move(timer, timer.at - seconds)

    # Threads

    def callFromThread(self, callable: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
        delay = self.streams["threads"].expovariate(1 / _FROM_THREAD)
        self._from_threads = max(self._from_threads, self.clock.now + delay)
        self.clock.call(self, self._from_threads - self.clock.now, callable, *args, **kwargs)

    # TCP

    def connectTCP(
        self, host: str, port: int, factory: Any, timeout: float = 30, bindAddress: Any = None
    ) -> Connector:
        if self.dead:
            raise Killed
        connector = Connector(self, self.network, IPv4Address("TCP", host, port), factory, timeout)
        connector.connect()
        return connector

    def listenTCP(self, port: int, factory: Any, backlog: int = 50, interface: str = "") -> Port:
        listening = Port(self, self.network, IPv4Address("TCP", interface or self.address, port), factory)
        listening.startListening()
        return listening

    # Processes

    def spawnProcess(
        self, processProtocol: Any, executable: Any, args: Any = (), env: Any = None, **_: Any
    ) -> Any:
        assert self.spawn is not None
        return self.spawn(processProtocol)

    # Its end

    def die(self) -> None:
        """From now on nothing of it happens. Its sockets are the kernel's; its children die with it."""
        self.dead = True
        for port in [port for port in self.network.ports.values() if port.process is self]:
            port.vanish()
        for end in [end for end in self.network.ends if end.process is self]:
            end.vanish()

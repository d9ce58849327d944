"""API processes that the controller starts, restarts and ends; they accept from its own socket.

The controller listens and never accepts. Its children inherit the listening socket, so that one queue of
connections waits for whichever of them is free: a child that is busy or dead takes none, and none is lost
with it. (With ``SO_REUSEPORT`` each would have a queue of its own, which is lost when it dies, and macOS
gives all connections to one of them.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, field
from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.runtime.coroutines import deferred

SOCKET: Final = 3
"""The descriptor of the listening socket in a child."""
COMMAND: Final = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n")
_FIRST_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
_SETTLED_SECONDS: Final = 10.0
"""A child that lived less long makes the pause before the next one longer."""
_END_SECONDS: Final = 10.0
"""A child that has been asked to end is killed after this time."""


@define(eq=False, slots=False)
class ApiChildren(Service):
    """``arguments(number)`` are those of child ``number``'s command; ``socket`` is the listening socket's
    descriptor here."""

    log = Logger()

    reactor: Any
    _count: int
    _socket: int
    _arguments: Callable[[int], Sequence[str]]
    _command: Sequence[str] = COMMAND
    _children: list[_Child] = field(factory=list, init=False)

    def startService(self) -> None:
        super().startService()
        self._children = [_Child(self, number) for number in range(self._count)]
        for child in self._children:
            child.start()

    @deferred
    async def stopService(self) -> None:
        """End all children; fires when they have ended."""
        super().stopService()
        await DeferredList([child.stop() for child in self._children])

    def spawn(self, protocol: ProcessProtocol, number: int) -> IProcessTransport:
        """Start a child, whose standard input ends when this process does, whatever ends it."""
        command = [*self._command, *self._arguments(number)]
        descriptors = {0: "w", 1: 1, 2: 2, SOCKET: self._socket}
        process: IProcessTransport = self.reactor.spawnProcess(
            protocol, command[0], command, env=None, childFDs=descriptors
        )
        return process


@define(eq=False, slots=False)
class _Child(ProcessProtocol):
    """The API process of one number, which is started again whenever it has ended."""

    _children: ApiChildren
    _number: int
    transport: Any = field(default=None, init=False)
    _alive: bool = field(default=False, init=False)
    _began: float = field(default=0.0, init=False)
    _pause: float = field(factory=lambda: _FIRST_PAUSE, init=False)
    _next: IDelayedCall | None = field(default=None, init=False)
    _kill: IDelayedCall | None = field(default=None, init=False)
    _ended: Deferred[None] = field(factory=Deferred, init=False)

    def start(self) -> None:
        self._next = None
        self._began = self._children.reactor.seconds()
        self._ended = Deferred()
        self._alive = True
        self._children.spawn(self, self._number)

    def stop(self) -> Deferred[None]:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self._alive:
            return succeed(None)
        self.transport.signalProcess("TERM")
        self._kill = self._children.reactor.callLater(_END_SECONDS, self.transport.signalProcess, "KILL")
        return self._ended

    def processEnded(self, reason: Failure) -> None:
        self._alive = False
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        if self._children.running:
            self._restart_later(reason)
        self._ended.callback(None)

    def _restart_later(self, reason: Failure) -> None:
        lived = self._children.reactor.seconds() - self._began
        self._pause = _FIRST_PAUSE if lived >= _SETTLED_SECONDS else min(_MAX_PAUSE, 2 * self._pause)
        self._children.log.error(
            "API process {number} has ended ({why}); another one is started in {pause:.1f} s",
            number=self._number,
            why=reason.getErrorMessage(),
            pause=self._pause,
        )
        self._next = self._children.reactor.callLater(self._pause, self.start)

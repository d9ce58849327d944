"""API processes that the controller starts, watches over and ends: they accept from its own socket.

The controller listens and never accepts. Its children inherit the listening socket, so that one queue of
connections waits for whichever of them is free: a child that is busy or dead takes none, and none is lost
with it. (With ``SO_REUSEPORT`` each would have a queue of its own, which is lost when it dies, and macOS
gives all connections to one of them.)
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from dpip.runtime.coroutines import deferred

SOCKET: Final = 3
"""The descriptor that a child finds its listening socket at."""
COMMAND: Final = (sys.executable, "-c", "from twisted.scripts.twistd import run; run()", "-n")
_FIRST_PAUSE: Final = 0.5
_MAX_PAUSE: Final = 30.0
_SETTLED_SECONDS: Final = 10.0
"""A child that lived less long makes the pause before the next one longer."""
_END_SECONDS: Final = 10.0
"""For a child to end when it is asked to."""


class ApiChildren(Service):
    """``arguments(number)`` are those of child ``number``'s command; ``socket`` is the listening socket's
    descriptor here."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        count: int,
        socket: int,
        arguments: Callable[[int], Sequence[str]],
        command: Sequence[str] = COMMAND,
    ) -> None:
        self._reactor = reactor
        self._socket = socket
        self._children = [_Child(self, number) for number in range(count)]
        self._arguments = arguments
        self._command = command

    def startService(self) -> None:
        super().startService()
        for child in self._children:
            child.start()

    @deferred
    async def stopService(self) -> None:
        """Fires when all have ended."""
        super().stopService()
        await DeferredList([child.stop() for child in self._children])

    def spawn(self, protocol: ProcessProtocol, number: int) -> IProcessTransport:
        """A child whose standard input ends when this process does, whatever ends it."""
        command = [*self._command, *self._arguments(number)]
        descriptors = {0: "w", 1: 1, 2: 2, SOCKET: self._socket}
        process: IProcessTransport = self._reactor.spawnProcess(
            protocol, command[0], command, env=None, childFDs=descriptors
        )
        return process

    @property
    def clock(self) -> Any:
        return self._reactor


class _Child(ProcessProtocol):
    """One of them, in all its lives."""

    transport: Any

    def __init__(self, children: ApiChildren, number: int) -> None:
        self._children = children
        self._number = number
        self._alive = False
        self._began = 0.0
        self._pause = _FIRST_PAUSE
        self._next: IDelayedCall | None = None
        self._kill: IDelayedCall | None = None
        self._ended: Deferred[None] = Deferred()

    def start(self) -> None:
        self._next = None
        self._began = self._children.clock.seconds()
        self._ended = Deferred()
        self._alive = True
        self._children.spawn(self, self._number)

    def stop(self) -> Deferred[None]:
        if self._next is not None:
            self._next.cancel()
            self._next = None
        if not self._alive:
            self._ended = Deferred()
            self._ended.callback(None)
            return self._ended
        self.transport.signalProcess("TERM")
        self._kill = self._children.clock.callLater(_END_SECONDS, self.transport.signalProcess, "KILL")
        return self._ended

    def processEnded(self, reason: Failure) -> None:
        self._alive = False
        if self._kill is not None and self._kill.active():
            self._kill.cancel()
        if self._children.running:
            self._again(reason)
        self._ended.callback(None)

    def _again(self, reason: Failure) -> None:
        lived = self._children.clock.seconds() - self._began
        self._pause = _FIRST_PAUSE if lived >= _SETTLED_SECONDS else min(_MAX_PAUSE, 2 * self._pause)
        self._children.log.error(
            "API process {number} has ended ({why}); another one is started in {pause} s",
            number=self._number,
            why=reason.getErrorMessage(),
            pause=self._pause,
        )
        self._next = self._children.clock.callLater(self._pause, self.start)

"""A pool of compute children: a job that kills its process harms no other job.

A job that kills its child, or exceeds its deadline, has crashed; other jobs of that child go to another one.
A dead child is replaced, with growing delays while children die without a job.

One child starts first. Where the kernels are in no cache it compiles them, once per machine, and the others
start when it is warm; otherwise they start as soon as it reports that the kernels are cached.
"""

from __future__ import annotations

import sys
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger
from zope.interface import implementer

from dpip.model import Load
from dpip.runtime.logs import LimitedLog
from dpip.worker.compute_child import CANCELLED, ComputeChild, ComputeTask, Work, spawn
from dpip.worker.engine import IEngine

COMMAND: Final = (sys.executable, "-m", "dpip.worker.child_main")
SHORT_SECONDS: Final = 0.1
"""While jobs take less than this, a child gets its next one before it has finished the last: otherwise it
would be idle for a turn of the reactor after each. Longer jobs wait in the pool for the first free child."""
_FIRST_DELAY: Final = 0.25
_MAX_DELAY: Final = 30.0
"""Seconds before a child that died without a job is replaced; doubled each time, until a job is finished."""
_LEARNING: Final = 0.1


@implementer(IEngine)
class ComputePool:
    """``slots`` children, started by :meth:`start`. ``reactor`` gives timers and processes, ``monotonic()``
    seconds that never jump."""

    log = Logger()

    def __init__(
        self,
        reactor: Any,
        monotonic: Callable[[], float],
        slots: int,
        memory_limit: int,
        command: Sequence[str] = COMMAND,
    ) -> None:
        self.slots = self.most_slots = slots
        self.log_line = LimitedLog(self.log, reactor)
        self._reactor = reactor
        self._monotonic = monotonic
        self._memory_limit = memory_limit
        self._command = command
        self._waiting: deque[Work] = deque()
        self._children: dict[ComputeChild, None] = {}  # in the order of their starts: choices depend on it
        self._replacing: set[IDelayedCall] = set()
        self._full = False  # all children are started
        self._deaths = 0  # in a row
        self._typical = 1.0  # seconds of a job
        self._waited = 0.0  # by children that are gone
        self._asked = (monotonic(), 0.0)  # when idle_percent was last asked for, and waited() then
        self._ready: Deferred[Mapping[str, Any]] = Deferred()
        self._stopped: Deferred[None] | None = None

    def start(self) -> Deferred[Mapping[str, Any]]:
        """Start. Fires when the first child is warm, with what it can do: ``filters``, ``fingerprint``…"""
        self.log.info("Warming up the filters")
        self._spawn()
        return self._ready

    def stop(self) -> Deferred[None]:
        """Kill every child; fires when they are gone. All work that has not ended is cancelled."""
        self._stopped = Deferred()
        for work in [*self._waiting, *(work for child in self._children for work in child.work)]:
            self.cancel(work)
        for call in self._replacing:
            call.cancel()
        self._replacing.clear()
        for child in self._children:
            child.kill()
        self._fire_if_empty()
        return self._stopped

    def pids(self) -> list[int]:
        """Return the process ids of the living children."""
        return [child.pid for child in self._children if child.pid is not None]

    def waited(self) -> float:
        """Return the seconds that warm children have waited for work, all together."""
        return self._waited + sum(child.waited() for child in self._children)

    def idle_percent(self) -> float:
        """Return the idle part of the slots' time since the last call. A child that warms up is not idle."""
        before, waited_before = self._asked
        self._asked = now, waited = self._monotonic(), self.waited()
        seconds = self.slots * (now - before)
        return min(100.0, max(0.0, 100 * (waited - waited_before) / seconds)) if seconds > 0 else 0.0

    def reckoned(self, load: Load) -> Load:
        """Return the load as it is: the children are on this machine."""
        return load

    def submit(self, task: ComputeTask, first: bool = False) -> Work:
        """Have the task computed as soon as a child is free; ``first``: before all that wait."""
        work = Work(task)
        if first:
            self._waiting.appendleft(work)
        else:
            self._waiting.append(work)
        self._dispatch()
        return work

    def cancel(self, work: Work) -> None:
        """Cancel work whose verdict is not wanted any more."""
        work.cancelled = True
        if work in self._waiting:
            self._waiting.remove(work)
            work.finish(CANCELLED)
        for child in self._children:
            child.cancelled(work)

    # What children call (dpip.worker.compute_child.ChildOwner)

    def kernels_are_cached(self) -> None:
        self._fill()

    def child_ready(self, child: ComputeChild) -> None:
        self._fill()
        if not self._ready.called:
            assert child.ready is not None
            self._ready.callback(child.ready)
        self._dispatch()

    def child_free(self, child: ComputeChild, seconds: float) -> None:
        self._deaths = 0
        self._typical += _LEARNING * (seconds - self._typical)
        if child.worn_out and not child.work:
            child.retire()
        self._dispatch()

    def child_ended(self, child: ComputeChild, why: str) -> None:
        self._children.pop(child, None)
        self._waited += child.waited()
        for work in reversed(child.work):
            if work.cancelled:
                work.finish(CANCELLED)
            else:
                self._waiting.appendleft(work)
        if self._stopped is not None:
            self._fire_if_empty()
        elif child.worn_out:
            self._spawn()
        else:
            self.log_line(f"A compute child has ended: {why}")
            self._replace(at_once=child.died_at_work)

    # Inside

    def _dispatch(self) -> None:
        while self._waiting and (child := self._free_child()) is not None:
            work = self._waiting.popleft()
            child.add(work)

    def _free_child(self) -> ComputeChild | None:
        most = 1 if self._typical >= SHORT_SECONDS else 2
        fit = [
            child for child in self._children if child.ready and not child.worn_out and len(child.work) < most
        ]
        return min(fit, key=lambda child: len(child.work), default=None)

    def _fill(self) -> None:
        """Start the other children, once."""
        if not self._full and self._stopped is None:
            self._full = True
            for _ in range(self.slots - 1):
                self._spawn()

    def _spawn(self) -> None:
        child = spawn(self._reactor, self._monotonic, self, self._command, self._memory_limit)
        self._children[child] = None

    def _replace(self, at_once: bool) -> None:
        """Replace a dead child; at once if a job killed it, as other jobs must not wait because of that."""
        delay = 0.0
        if not at_once:
            delay = min(_MAX_DELAY, _FIRST_DELAY * 2**self._deaths) if self._deaths else 0.0
            self._deaths += 1

        def replace() -> None:
            self._replacing.discard(call)
            self._spawn()

        call = self._reactor.callLater(delay, replace)
        self._replacing.add(call)

    def _fire_if_empty(self) -> None:
        if self._stopped is not None and not self._children and not self._stopped.called:
            self._stopped.callback(None)

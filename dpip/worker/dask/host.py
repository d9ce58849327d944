"""The compute host: the process beside a Dask worker that owns its compute children.

It is a pool of them behind a pipe, with one JSON object a line, and ends when its input does.

============= =============================================================================================
plugin → host ``{"key", "task", "stat"}``, ``{"cancel": key}``. ``stat`` is the size of the original and its
              time of change in nanoseconds, where it was given; None for files of the plugin's own.
host → plugin ``{"ready": …}`` once, as a child reports it; ``{"load", "machine"}`` every few seconds;
              ``{"key", "verdict"}``
============= =============================================================================================

An original or a directory for the result that is not the same one here as where the task was given has
the verdict :data:`UNSHARED`.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

from attrs import asdict
from twisted.internet import stdio
from twisted.internet.defer import Deferred
from twisted.internet.protocol import connectionDone
from twisted.internet.task import LoopingCall, react
from twisted.internet.threads import deferToThread
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from dpip.model import Load, Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker import resources
from dpip.worker.compute_child import ComputeTask, Verdict, Work
from dpip.worker.compute_pool import ComputePool

MAX_LINE: Final = 4 * 2**20
UNSHARED: Final = "unshared"
_REPORT_SECONDS: Final = 2.0


class HostProtocol(LineOnlyReceiver):
    """The pool, as the plugin speaks to it."""

    log = Logger()
    delimiter = b"\n"
    MAX_LENGTH = MAX_LINE

    def __init__(self, reactor: Any, pool: ComputePool) -> None:
        self.ended: Deferred[None] = Deferred()
        self._reactor = reactor
        self._pool = pool
        self._machine = resources.machine()
        self._works: dict[str, Work] = {}
        self._reports = LoopingCall(self._report)
        self._sampler = resources.Sampler(resources.Gpus(), lambda: 0)

    def connectionMade(self) -> None:
        self._pool.start().addCallback(lambda ready: self._send(ready=dict(ready)))
        self._reports.clock = self._reactor
        self._reports.start(_REPORT_SECONDS)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._reports.stop()
        self.ended.callback(None)

    def lineReceived(self, line: bytes) -> None:
        message = json.loads(line)
        if "cancel" in message:
            work = self._works.get(message["cancel"])
            if work is not None:
                self._pool.cancel(work)
        else:
            self._submit(message["key"], _task(message["task"]), message["stat"])

    def _submit(self, key: str, task: ComputeTask, stat: Sequence[int] | None) -> None:
        if stat is not None and not _is_shared(task, stat):
            self._send(key=key, verdict={"outcome": UNSHARED})
            return
        work = self._works[key] = self._pool.submit(task)
        work.done.addCallback(self._ended, key)

    def _ended(self, verdict: Verdict, key: str) -> None:
        work = self._works.pop(key)
        if verdict.outcome is not Outcome.DONE:
            with suppress(OSError):
                os.unlink(work.task.result)
        self._send(key=key, verdict={**asdict(verdict), "outcome": verdict.outcome.value})

    def _report(self) -> Any:
        sample = deferToThread(self._sampler.sample, self._pool.pids(), (), self._pool.idle_percent())
        return sample.addCallbacks(self._send_load, self._no_load)

    def _send_load(self, load: Load) -> None:
        self._send(load=asdict(load), machine=self._machine)

    def _no_load(self, failure: Failure) -> None:
        self.log.failure("The load of this machine could not be taken", failure)

    def _send(self, **message: Any) -> None:
        self.sendLine(json.dumps(message).encode())


def _task(message: Mapping[str, Any]) -> ComputeTask:
    steps = tuple((name, parameters) for name, parameters in message["steps"])
    return ComputeTask(**{**message, "steps": steps})


def _is_shared(task: ComputeTask, stat: Sequence[int]) -> bool:
    """Say whether this machine sees the very file that was meant, and the directory for its result."""
    try:
        found = os.stat(task.source)
    except OSError:
        return False
    return [found.st_size, found.st_mtime_ns] == list(stat) and os.path.isdir(os.path.dirname(task.result))


@deferred
async def main(reactor: Any, slots: str, memory_limit: str, *program: str) -> None:
    """Serve until the input ends; ``program`` is what Python runs as a compute child."""
    globalLogBeginner.beginLoggingTo([textFileLogObserver(sys.stderr)], redirectStandardIO=False)
    pool = ComputePool(reactor, time.monotonic, int(slots), int(memory_limit), (sys.executable, *program))
    host = HostProtocol(reactor, pool)
    stdio.StandardIO(host)
    await host.ended
    await pool.stop()


if __name__ == "__main__":
    react(main, sys.argv[1:])

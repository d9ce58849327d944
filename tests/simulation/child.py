"""A simulated compute child: the real pool speaks with it; it may crash, hang or refuse."""

from __future__ import annotations

import hashlib
import json
from collections import deque
from pathlib import Path
from random import Random
from typing import Any

from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.python.failure import Failure

from dpip.worker.child_main import REPLIES
from tests.simulation.pictures import filtered, nature

_WARM_UP = 0.5
_COMPUTE = (0.003, 0.03, 0.3)
"""Mean seconds; a worker's filters are so fast that results go in batches, or slower."""
_SIGKILL, _SIGSEGV = 9, 11


class SimulatedChild:
    """The transport of a :class:`dpip.worker.compute_child.ComputeChild`. ``engine`` says what it can do."""

    def __init__(self, process: Any, protocol: Any, engine: Engine) -> None:
        self._process = process
        self._protocol = protocol
        self._engine = engine
        self._clock = process.clock
        self._chance = process.streams["compute"]
        self._jobs: deque[dict[str, Any]] = deque()
        self._input = b""
        self._busy = True
        self.pid: int | None = engine.next_pid()
        process.children[self] = None
        self._after(self._chance.uniform(0, 2 * _WARM_UP), self._ready)
        protocol.makeConnection(self)

    def _after(self, seconds: float, function: Any, *args: Any) -> None:
        self._clock.call(self._process, seconds, self._if_alive, function, *args)

    def _if_alive(self, function: Any, *args: Any) -> None:
        if self.pid is not None:
            function(*args)

    # What its parent does

    def writeToChild(self, childFD: int, data: bytes) -> None:
        if self.pid is None:
            raise KeyError(childFD)
        *lines, self._input = (self._input + data).split(b"\n")
        self._jobs.extend(json.loads(line) for line in lines)
        self._next()

    def closeStdin(self) -> None:
        self._after(0.0, self._end, ProcessDone(0))

    def signalProcess(self, signalID: str) -> None:
        self._after(0.0, self._end, ProcessTerminated(signal=_SIGKILL))

    def crash(self) -> None:
        self._after(0.0, self._end, ProcessTerminated(signal=_SIGSEGV))

    # Its life

    def _say(self, message: dict[str, Any]) -> None:
        self._protocol.childDataReceived(REPLIES, json.dumps(message).encode() + b"\n")

    def _ready(self) -> None:
        self._busy = False
        self._say({"ready": self._engine.abilities(), "rss": 1})
        self._next()

    def _next(self) -> None:
        if self._jobs and not self._busy:
            self._busy = True
            job = self._jobs.popleft()
            seconds = self._chance.expovariate(1 / self._engine.typical) * self._engine.slowness
            self._after(seconds, self._compute, job, seconds)

    def _compute(self, job: dict[str, Any], seconds: float) -> None:
        data = Path(job["source"]).read_bytes()
        kind = nature(data) or self._engine.mishap(self._chance)
        if kind == "crash":
            self._end(ProcessTerminated(signal=_SIGSEGV))
        elif kind == "refuse":
            self._answer(job, "failed", seconds, code="cannot-decode", detail="It is not to our taste.")
        elif kind == "full":
            self._answer(
                job, "returned", seconds, code="disk-full", detail="The result could not be spooled."
            )
        elif kind != "hang":
            self._done(job, data, seconds)

    def _done(self, job: dict[str, Any], data: bytes, seconds: float) -> None:
        result = filtered(data, job["steps"], self._engine.filters, self._engine.fingerprint)
        Path(job["result"]).write_bytes(result)
        sha256 = hashlib.sha256(result).hexdigest()
        self._answer(job, "done", seconds, sha256=sha256, size=len(result), content_type="image/png")

    def _answer(self, job: dict[str, Any], outcome: str, seconds: float, **facts: Any) -> None:
        self._busy = False
        answer = {
            "job": job["job"],
            "outcome": outcome,
            "code": "",
            "detail": "",
            "seconds": seconds,
            "rss": 1,
        }
        self._say({**answer, **facts})
        self._next()

    def _end(self, how: BaseException) -> None:
        self.pid = None
        self._process.children.pop(self, None)
        self._protocol.processEnded(Failure(how))


class Engine:
    """What the children of one worker can do, and what befalls them now."""

    def __init__(self, filters: dict[str, str], fingerprint: str, disk: Any, chance: Random) -> None:
        self.filters = filters
        self.fingerprint = fingerprint
        self.typical = chance.choice(_COMPUTE)
        self.slowness = 1.0
        self.crashing = 0.0  # the probability that a job ends with its child
        self.refusing = 0.0
        self._disk = disk
        self._pids = 1000

    def next_pid(self) -> int:
        self._pids += 1
        return self._pids

    def abilities(self) -> dict[str, Any]:
        return {"filters": self.filters, "fingerprint": self.fingerprint, "gpu": False}

    def mishap(self, chance: Any) -> str:
        if self._disk.full:
            return "full"
        luck = chance.random()
        if luck < self.crashing:
            return "crash"
        return "refuse" if luck < self.crashing + self.refusing else ""

"""Files through real compute children, as a worker puts them through, and what is to be said of that."""

from __future__ import annotations

import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import psutil
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import LoopingCall

from dpip.errors import NotAnImage
from dpip.filters.codec import decode, probe
from dpip.model import Outcome, Step
from dpip.worker.compute_child import ComputeTask, Verdict
from dpip.worker.compute_pool import ComputePool

STEPS: Final[tuple[Step, ...]] = (("blur", {"sigma": 2.0}),)
SECONDS: Final = 60.0
MEMORY: Final = 1024 * 2**20
MAX_PIXELS: Final = 100_000_000
_WATCHED_SECONDS: Final = 0.02


@frozen
class Judged:
    """What became of one file. ``probing`` is how many seconds its header took."""

    name: str
    verdict: Verdict
    seconds: float
    probing: float
    wrong: str = ""  # what must not be, in words


@define
class Report:
    judged: list[Judged] = field(factory=list)
    most_memory: int = 0  # bytes that one child had, at most

    def outcomes(self) -> Counter[str]:
        return Counter(f"{one.verdict.outcome.value} {one.verdict.code}".strip() for one in self.judged)

    def wrong(self) -> list[Judged]:
        return [one for one in self.judged if one.wrong]

    def slowest(self) -> Judged:
        return max(self.judged, key=lambda one: one.seconds)


class Judge:
    """``slots`` compute children in a directory of their own; an asynchronous context manager."""

    def __init__(self, reactor: Any, slots: int = 2) -> None:
        self._reactor = reactor
        self._slots = slots
        self._directory = Path(tempfile.mkdtemp(prefix="dpip-corpus-"))
        self._pool = ComputePool(reactor, time.monotonic, slots, MEMORY)
        self._said: list[str] = []
        self._pool.log_line = self._said.append  # type: ignore[assignment]
        self._watch = LoopingCall(self._look)
        self._watch.clock = reactor
        self.report = Report()

    async def __aenter__(self) -> Self:
        await self._pool.start()
        self._watch.start(_WATCHED_SECONDS)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._watch.stop()
        await self._pool.stop()
        shutil.rmtree(self._directory)

    async def all(self, files: Iterable[tuple[str, bytes]]) -> Report:
        """Every file to its end, a few at a time."""
        work = iter(files)

        async def hand(number: int) -> None:
            for name, data in work:
                self.report.judged.append(await self._one(f"{number}", name, data))

        await gatherResults([Deferred.fromCoroutine(hand(number)) for number in range(self._slots + 1)])
        return self.report

    async def _one(self, place: str, name: str, data: bytes) -> Judged:
        source, result = self._directory / f"{place}.in", self._directory / f"{place}.out"
        source.write_bytes(data)
        result.unlink(missing_ok=True)
        began = time.perf_counter()
        wrong = _probed(source)
        probing = time.perf_counter() - began
        task = ComputeTask(str(source), str(result), STEPS, {}, MAX_PIXELS, 1, SECONDS)
        began = time.perf_counter()
        verdict = await self._pool.submit(task).done
        seconds = time.perf_counter() - began
        return Judged(name, verdict, seconds, probing, wrong or _complaint(verdict, result))

    def _look(self) -> None:
        for pid in self._pool.pids():
            try:
                resident = psutil.Process(pid).memory_info().rss
            except psutil.NoSuchProcess:
                continue
            self.report.most_memory = max(self.report.most_memory, resident)


def _probed(source: Path) -> str:
    """The controller looks at every header: it may only refuse."""
    try:
        probe(source)
    except NotAnImage:
        return ""
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"probe raised {error!r}"
    return ""


def _complaint(verdict: Verdict, result: Path) -> str:
    """A right picture, or a reason for people."""
    if verdict.outcome is Outcome.DONE:
        return _unreadable(result.read_bytes())
    if verdict.outcome is Outcome.FAILED:
        if verdict.code == "filter-error":
            return f"not foreseen: {verdict.detail}"
        return "" if verdict.detail else "no reason is told"
    if verdict.code == "out-of-memory":
        return ""  # the child has told so and lives
    return f"{verdict.outcome.value}: {verdict.code} {verdict.detail}"


def _unreadable(data: bytes) -> str:
    try:
        frames = sum(1 for _ in decode(data, max_pixels=MAX_PIXELS).frames)
    except Exception as error:  # noqa: BLE001 - that is what is looked for
        return f"the result cannot be read: {error!r}"
    return "" if frames else "the result has no frame"

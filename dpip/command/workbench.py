"""A run's pictures through the compute children of this machine: no server, no ports, no copies."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import click
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.threads import deferToThread

from dpip.client import Counts, Fetched, Parcel, Sender, gather_bounded
from dpip.command.temporary import temporary
from dpip.errors import NotAnImage
from dpip.filters import registry
from dpip.filters.codec.headers import probe
from dpip.filters.engine import MAX_PIXELS
from dpip.model import Outcome
from dpip.scheduler.limits import Limits
from dpip.worker.child import Task, Verdict
from dpip.worker.compute import Pool
from dpip.worker.resources import cores, job_memory, memory

_PREFIX: Final = ".dpip-run-"
_START_SECONDS: Final = 300.0
_JOB_SECONDS: Final = 300.0
_SHARE: Final = 0.8
"""Of the memory that is free at the start, for all jobs together: others live here, too."""
_AHEAD: Final = 2
"""Pictures in hand for each slot: while one is filtered, another is found, or its result put away."""


@frozen
class Bench:
    """What there is to work with: compute children, and a directory for files on their way."""

    pool: Pool
    directory: Path


@asynccontextmanager
async def bench(reactor: Any, slots: int | None, parent: Path) -> AsyncIterator[Bench]:
    """Warm, with its directory in ``parent``; when it is left nothing remains of either.

    Raises ClickException when the children do not start, OSError when ``parent`` cannot be written to.
    """
    async with temporary(parent, _PREFIX) as directory:
        pool = Pool(reactor, time.monotonic, slots or cores(), job_memory())
        try:
            await pool.start().addTimeout(_START_SECONDS, reactor)
            yield Bench(pool, directory)
        except TimeoutError:
            raise click.ClickException(
                f"The filters were not ready within {_START_SECONDS:g} seconds; the log says why."
            ) from None
        finally:
            await pool.stop()


class Memory:
    """Bytes that are lent, to whoever came first; who wants more than there is gets it all."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()

    async def take(self, wanted: int) -> int:
        """What was lent, to be given back."""
        share = min(wanted, self._size)
        if self._waiting or share > self._free:
            waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove((share, waiting)))
            self._waiting.append((share, waiting))
            await waiting
        else:
            self._free -= share
        return share

    def give(self, share: int) -> None:
        """Back."""
        self._free += share
        while self._waiting and self._waiting[0][0] <= self._free:
            granted, waiting = self._waiting.popleft()
            self._free -= granted
            waiting.callback(None)


@frozen
class _Made:
    """A result as a child has left it."""

    path: Path
    verdict: Verdict

    async def take(self, to: Path) -> Fetched:
        os.replace(self.path, to)
        return Fetched(self.verdict.size, self.verdict.sha256, self.verdict.content_type)

    async def read(self) -> bytes:
        return await deferToThread(self.path.read_bytes)


@define(eq=False)
class Workbench:
    """``run`` ends when every parcel has; whatever it raises, it has stopped all of it first.

    As :class:`dpip.client.Conveyor` does it with a server. A picture is tried again when its child dies of
    it, as often as a server would; together the jobs never need more than ``memory``.
    """

    bench: Bench
    sender: Sender
    steps: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    memory: Memory = field(factory=lambda: Memory(int(memory()[1] * _SHARE)))
    changed: Callable[[], object] = lambda: None
    counts: Counts = field(factory=Counts, init=False)
    workload_ids: Sequence[str] = ()
    _chain: Sequence[tuple[str, dict[str, Any]]] = field(init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _taken: int = field(default=0, init=False)
    _unfiltered: int = field(default=0, init=False)  # in hand …
    _given: int = field(default=0, init=False)  # … and of these to the pool

    def __attrs_post_init__(self) -> None:
        self._chain = registry.validate_steps(self.steps)

    async def run(self) -> None:
        """Raises ClickException, and whatever the sender raises."""
        hands = _AHEAD * self.bench.pool.slots + 1
        await gather_bounded(hands, lambda hand: hand(), [self._work] * hands)

    async def _work(self) -> None:
        while (parcel := await self._next()) is not None:
            await self._see_through(parcel)

    async def _next(self) -> Parcel | None:
        await self._turn.acquire()
        try:
            return await self.sender.next()
        finally:
            self._turn.release()

    async def _see_through(self, parcel: Parcel) -> None:
        self._taken += 1
        source, made = (self.bench.directory / f"{self._taken}.{end}" for end in ("in", "out"))
        try:
            verdict = await self._filtered(parcel, source, made)
            if verdict.outcome is Outcome.DONE:
                self.counts.filtered += 1
                await self.sender.arrived(parcel, _Made(made, verdict))
                self.counts.done += 1
            else:
                self.sender.failed(parcel, verdict.code, verdict.detail)
                self.counts.failed += 1
            self.changed()
        finally:
            for path in (source, made):
                with suppress(FileNotFoundError):
                    os.unlink(path)

    async def _filtered(self, parcel: Parcel, source: Path, made: Path) -> Verdict:
        """A verdict that is final. Raises ClickException when there is no room for the result."""
        self._count(unfiltered=1)
        try:
            path, size = await self._laid_out(parcel, source)
            share = await self.memory.take(registry.memory_needed(self._chain, size))
            self._count(given=1)
            try:
                return await self._computed(path, made)
            finally:
                self._count(given=-1)
                self.memory.give(share)
        except OSError as error:
            return Verdict(Outcome.FAILED, "unreadable", error.strerror or str(error))
        finally:
            self._count(unfiltered=-1)

    def _count(self, unfiltered: int = 0, given: int = 0) -> None:
        """So many more. What the pool has beyond its slots waits there."""
        self._unfiltered += unfiltered
        self._given += given
        self.counts.running = min(self._given, self.bench.pool.slots)
        self.counts.waiting = self._unfiltered - self.counts.running
        self.changed()

    async def _laid_out(self, parcel: Parcel, place: Path) -> tuple[Path, int]:
        """Where the picture lies as a file, and its size as arrays. Raises OSError."""
        if isinstance(parcel.source, Path) and parcel.decoded_bytes is not None:
            return parcel.source, parcel.decoded_bytes
        return await deferToThread(_looked_into, parcel.source, place)

    async def _computed(self, path: Path, made: Path) -> Verdict:
        for _ in range(Limits().max_crashes):
            verdict = await self._tried(path, made)
            if verdict.outcome is not Outcome.CRASHED:
                break
        if verdict.code == "disk-full":
            raise click.ClickException(f"{verdict.detail}. Put that right, and go on with --resume.")
        if verdict.code == "spool-error":
            return Verdict(Outcome.FAILED, "unreadable", verdict.detail)
        return verdict

    async def _tried(self, path: Path, made: Path) -> Verdict:
        task = Task(
            source=os.path.abspath(path),
            result=str(made),
            steps=tuple(self._chain),
            output=self.output,
            max_pixels=MAX_PIXELS,
            threads=cores() if self._given == 1 else 1,
            seconds=_JOB_SECONDS,
        )
        return await self.bench.pool.run(task).done


def _looked_into(source: Path | bytes, place: Path) -> tuple[Path, int]:
    if isinstance(source, bytes):
        try:
            place.write_bytes(source)
        except OSError as error:
            raise click.ClickException(f"{place.parent} cannot be written to: {error.strerror}.") from error
        source = place
    try:
        return source, probe(source).decoded_bytes
    except NotAnImage:  # the child says what is wrong with it
        return source, 0

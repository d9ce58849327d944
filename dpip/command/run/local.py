"""The executor without a server: images go to compute processes, or to a Dask cluster."""

from __future__ import annotations

import os
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredLock, TimeoutError
from twisted.internet.threads import deferToThread

from dpip.client import Counts, Fetched, Item, Sender, gather_bounded
from dpip.command.run.options import ExecutorOptions
from dpip.errors import NotAnImage, PictureTooLarge
from dpip.filters import registry
from dpip.filters.codec.headers import probe
from dpip.filters.memory import memory_needed
from dpip.model import Outcome
from dpip.runtime.tempdirs import LockedTempDir
from dpip.scheduler.limits import SchedulerLimits
from dpip.worker.compute_child import ComputeTask, Verdict
from dpip.worker.compute_pool import ComputePool
from dpip.worker.dask.address import ClusterAddress
from dpip.worker.dask.opening import dask_engine
from dpip.worker.engine import EngineUnusable, IEngine
from dpip.worker.resources import cores, memory

if TYPE_CHECKING:  # it imports Dask
    from dpip.worker.dask.engine import DaskEngine

_ENGINE_TROUBLE: Final = frozenset({"engine-lost", "engine-differs", "engine-error"})
_PREFIX: Final = ".dpip-run-"
_START_SECONDS: Final = 300.0
_JOB_SECONDS: Final = 300.0
_SHARE: Final = 0.8
"""The share of the memory free at the start that all jobs together may use; other programs need some."""
_MAX_PIXELS: Final = 2**40
"""One's own pictures may have any size: memory is the limit."""
_AHEAD: Final = 2
"""Images under way for each slot: while one is filtered, another is searched, or its result is stored."""


_GROWTH: Final = 32
"""Slots that a cluster may come to have: it grows only if it is asked for more than it does at once."""


@asynccontextmanager
async def local_executor(
    reactor: Any,
    options: ExecutorOptions,
    parent: Path,
    sender: Sender,
    steps: Sequence[Mapping[str, Any]],
    output: Mapping[str, Any],
) -> AsyncIterator[LocalExecutor]:
    """Start compute processes and make a directory in ``parent``, for an executor; at the end remove both.

    A Dask cluster that the options name takes the place of the processes.

    Raises ClickException when they do not start, OSError when ``parent`` cannot be written to.
    """
    with closing(LockedTempDir(parent, _PREFIX)) as files:
        directory = files.open()
        if options.cluster is not None:
            async with _cluster(reactor, options.cluster, options.patience) as cluster:
                memory_there = MemoryBudget(_budget(cluster))
                most = cluster.load.memory_total
                executor = LocalExecutor(cluster, directory, sender, steps, output, memory_there, most=most)
                cluster.changed = lambda: memory_there.resize(_budget(cluster))
                yield executor
            return
        pool = ComputePool(reactor, time.monotonic, options.slots or cores(), _memory_for_jobs())
        try:
            await pool.start().addTimeout(_START_SECONDS, reactor)
            yield LocalExecutor(pool, directory, sender, steps, output)
        except TimeoutError:
            raise click.ClickException(
                f"The filters were not ready within {_START_SECONDS:g} seconds; the log in {parent} says why."
            ) from None
        finally:
            await pool.stop()


def _memory_for_jobs() -> int:
    return int(memory()[1] * _SHARE)


@asynccontextmanager
async def _cluster(reactor: Any, address: ClusterAddress, patience: float) -> AsyncIterator[DaskEngine]:
    """Join the cluster; at the end leave it. Raises ClickException."""
    try:
        engine = dask_engine(reactor, address, patience)
    except EngineUnusable as error:
        raise click.ClickException(error.detail) from None
    try:
        await _joined(reactor, engine, address, patience)
        yield engine
    finally:
        await engine.stop()


async def _joined(reactor: Any, engine: DaskEngine, address: ClusterAddress, patience: float) -> None:
    try:
        await engine.start().addTimeout(patience, reactor)
    except EngineUnusable as error:
        raise click.ClickException(error.detail) from None
    except TimeoutError:
        words = f"The Dask cluster at {address} had no worker that was ready within {patience:g} seconds."
        raise click.ClickException(f"{words} The log says more.") from None


def _budget(cluster: DaskEngine) -> int:
    return int(cluster.load.memory_total * _SHARE)


class MemoryBudget:
    """Bytes of memory that jobs borrow in the order of asking; a job that needs more than all borrows all."""

    def __init__(self, size: int) -> None:
        self._size = self._free = size
        self._waiting: deque[tuple[int, Deferred[None]]] = deque()

    def resize(self, size: int) -> None:
        """Have so many bytes from now on."""
        self._free += size - self._size
        self._size = size
        self.give_back(0)

    async def borrow(self, wanted: int) -> int:
        """Wait for ``wanted`` bytes; returns how many were lent, which must be given back."""
        share = min(wanted, self._size)
        if self._waiting or share > self._free:
            waiting: Deferred[None] = Deferred(lambda _: self._waiting.remove((share, waiting)))
            self._waiting.append((share, waiting))
            await waiting
        else:
            self._free -= share
        return share

    def give_back(self, share: int) -> None:
        """Take bytes back, and lend them to those who wait."""
        self._free += share
        while self._waiting and self._waiting[0][0] <= self._free:
            granted, waiting = self._waiting.popleft()
            self._free -= granted
            waiting.callback(None)


@frozen
class _LocalResult:
    """A result, as a file that a compute process has written."""

    path: Path
    verdict: Verdict

    async def take(self, to: Path) -> Fetched:
        os.replace(self.path, to)
        return Fetched(
            self.verdict.size, self.verdict.sha256, self.verdict.content_type, self.verdict.notices
        )

    async def read(self) -> bytes:
        return await deferToThread(self.path.read_bytes)


@define(eq=False)
class LocalExecutor:
    """Filters a sender's items with ``pool``; ``directory`` is for files that are under way.

    An image whose process crashes is tried again, as often as on a server. Together the jobs never need more
    than ``memory``.
    """

    pool: IEngine
    directory: Path
    sender: Sender
    steps: Sequence[Mapping[str, Any]]
    output: Mapping[str, Any]
    memory: MemoryBudget = field(factory=lambda: MemoryBudget(_memory_for_jobs()))
    most: int = field(factory=lambda: memory()[0])
    changed: Callable[[], object] = lambda: None
    counts: Counts = field(factory=Counts, init=False)
    engine: str = ""
    workload_ids: Sequence[str] = ()
    _chain: Sequence[tuple[str, dict[str, Any]]] = field(init=False)
    _turn: DeferredLock = field(factory=DeferredLock, init=False)
    _taken: int = field(default=0, init=False)
    _unfiltered: int = field(default=0, init=False)  # under way …
    _given: int = field(default=0, init=False)  # … and of these with the pool

    def __attrs_post_init__(self) -> None:
        self._chain = registry.validate_steps(self.steps)

    async def run(self) -> None:
        """Return when every item has ended.

        Raises ClickException, and whatever the sender raises, when all loops have stopped.
        """
        slots = max(self.pool.slots, min(self.pool.most_slots, _GROWTH))
        loops = _AHEAD * slots + 1
        await gather_bounded(loops, lambda loop: loop(), [self._filter_items] * loops)

    async def _filter_items(self) -> None:
        while (item := await self._next_item()) is not None:
            self._taken += 1
            source, made = (self.directory / f"{self._taken}.{end}" for end in ("in", "out"))
            try:
                await self._deliver(item, made, await self._filter(item, source, made))
            finally:
                for path in (source, made):
                    path.unlink(missing_ok=True)

    async def _next_item(self) -> Item | None:
        async with self._turn:
            return await self.sender.next()

    async def _deliver(self, item: Item, made: Path, verdict: Verdict) -> None:
        if verdict.outcome is Outcome.DONE:
            self.counts.filtered += 1
            await self.sender.arrived(item, _LocalResult(made, verdict))
            self.counts.done += 1
        else:
            self.sender.failed(item, verdict.code, verdict.detail)
            self.counts.failed += 1
        self.changed()

    async def _filter(self, item: Item, source: Path, made: Path) -> Verdict:
        """Filter an item; returns the final verdict. Raises ClickException when the disk is full."""
        self._count(unfiltered=1)
        try:
            path, needed = await deferToThread(self._as_file, item, source)
            if needed > self.most:
                return _too_large(needed, self.most)
            share = await self.memory.borrow(needed)
            self._count(given=1)
            try:
                return await self._compute(path, made)
            finally:
                self._count(given=-1)
                self.memory.give_back(share)
        except OSError as error:
            return Verdict(Outcome.FAILED, "unreadable", error.strerror or str(error))
        finally:
            self._count(unfiltered=-1)

    def _count(self, unfiltered: int = 0, given: int = 0) -> None:
        """Add to the counts; jobs that the pool has beyond its slots count as waiting."""
        self._unfiltered += unfiltered
        self._given += given
        self.counts.running = min(self._given, self.pool.slots)
        self.counts.waiting = self._unfiltered - self.counts.running
        self.changed()

    def _as_file(self, item: Item, place: Path) -> tuple[Path, int]:
        """Return the image as a file, and the bytes of memory that filtering it takes. Raises OSError."""
        source = item.source
        if isinstance(source, bytes):
            try:
                place.write_bytes(source)
            except OSError as error:
                reason = f"{place.parent} cannot be written to: {error.strerror}."
                raise click.ClickException(reason) from error
            source = place
        try:
            size = source.stat().st_size
            return source, memory_needed(
                probe(source), size, self._chain, self.output, max_pixels=_MAX_PIXELS
            )
        except NotAnImage:  # the compute process will say what is wrong with it
            return source, 0

    async def _compute(self, path: Path, made: Path) -> Verdict:
        for _ in range(SchedulerLimits().max_crashes):
            task = ComputeTask(
                source=os.path.abspath(path),
                result=str(made),
                steps=tuple(self._chain),
                output=self.output,
                max_pixels=_MAX_PIXELS,
                threads=cores() if self._given == 1 else 1,
                seconds=_JOB_SECONDS,
            )
            verdict = await self.pool.submit(task).done
            if verdict.outcome is not Outcome.CRASHED:
                break
        if verdict.code in _ENGINE_TROUBLE:
            raise click.ClickException(f"{verdict.detail} Go on with --resume.")
        if verdict.code == "disk-full":
            raise click.ClickException(f"{verdict.detail}. Put that right, and go on with --resume.")
        if verdict.code == "spool-error":
            return Verdict(Outcome.FAILED, "unreadable", verdict.detail)
        return verdict


def _too_large(needed: int, most: int) -> Verdict:
    words = (
        f"Filtering it takes about {needed / 2**30:,.1f} GiB of memory, and there are {most / 2**30:,.1f} in "
        "all. A server whose workers have more can do it: --server."
    )
    return Verdict(Outcome.FAILED, PictureTooLarge.code, words)

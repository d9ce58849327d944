"""Workers' utilisation over time, in a database of its own that is written every few seconds.

A sample may be lost at a crash: nobody waits for one to be written, and nothing is ever fsynced for one.
"""

from __future__ import annotations

import json
import sqlite3
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from attrs import astuple, define, evolve, field, fields, frozen
from sqlalchemy import (
    Column,
    Connection,
    Engine,
    Index,
    Integer,
    MetaData,
    Table,
    Text,
    bindparam,
    delete,
    func,
    insert,
    select,
)
from sqlalchemy.exc import DBAPIError
from twisted.application.service import Service
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from dpip.datastore import engine
from dpip.datastore.bulk import as_json, execute, fetch, given, text
from dpip.datastore.rows import micros, seconds
from dpip.interfaces import ITelemetry
from dpip.model import GpuLoad, Load, Sample
from dpip.runtime.coroutines import deferred
from dpip.runtime.threads import MakeThreads, RealThreads, Threads, in_thread

POINTS = 2_000  # of a history at most: more than any chart has columns
_FLUSH_SECONDS = 5.0
_APART_SECONDS = 1.0  # samples of one worker that come faster are not kept: 86,400 a day at most
_KEEP_SECONDS = 24 * 3600.0
_ROWS = 1_000_000  # of all workers, some 200 MB
_BUFFER = 100_000  # samples in memory, should the disk not take them
_SLICE = 20_000  # rows forgotten at once
_FORGET_SECONDS = 3600.0  # after which a worker that says nothing has no newest load any more

_GPUS, _GPU_NAME = 16, 64  # kept of a sample
_RUNNING = [attribute.name for attribute in fields(Load)].index("running")

FAILURES = (DBAPIError, sqlite3.Error)

metadata = MetaData()
samples = Table(
    "samples",
    metadata,
    Column("id", Integer, primary_key=True),
    Column("worker", Text, nullable=False),
    Column("at", Integer, nullable=False),
    Column("load", Text, nullable=False),
    sqlite_autoincrement=True,
)
Index("samples_worker", samples.c.worker, samples.c.at)

_sample = given("worker", "at", "load")
_INSERT = insert(samples).from_select(["worker", "at", "load"], select(_sample))
_oldest = select(samples.c.id, samples.c.at).order_by(samples.c.id).limit(_SLICE).subquery()
_GONE = select(func.max(_oldest.c.id)).where(
    (_oldest.c.at < bindparam("before")) | (_oldest.c.id <= bindparam("surplus"))
)

_of_worker = (samples.c.worker == bindparam("worker")) & (samples.c.at >= bindparam("since"))
_COUNT = select(func.count()).where(_of_worker)
_numbered = (
    select(samples.c.at, samples.c.load, func.row_number().over(order_by=samples.c.at.desc()).label("place"))
    .where(_of_worker)
    .subquery()
)
_HISTORY = as_json(
    select(_numbered.c.at, _numbered.c.load)
    .where((_numbered.c.place - 1) % bindparam("step") == 0)
    .order_by(_numbered.c.at)
    .limit(POINTS)
)


@frozen
class _Newest:
    """The newest load of a worker; ``heard`` is the reactor's time, ``kept`` that of the last sample kept."""

    sample: Sample
    heard: float
    kept: float


@implementer(ITelemetry)
@define(eq=False, slots=False)
class Telemetry(Service):
    """Samples in the SQLite file at ``path``; a file that cannot be read is replaced by an empty one.

    ``reactor`` provides IReactorTime and IReactorFromThreads.
    """

    log = Logger()

    _path: Path
    _reactor: Any
    _make_threads: MakeThreads = RealThreads
    _rows: int = _ROWS
    _threads: Threads = field(init=False)
    _newest: dict[str, _Newest] = field(factory=dict, init=False)
    _buffer: deque[tuple[str, float, Load]] = field(factory=lambda: deque(maxlen=_BUFFER), init=False)
    _loop: LoopingCall = field(init=False)
    _failing: bool = field(default=False, init=False)
    _engine: Engine | None = field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._threads = self._make_threads(1, "telemetry")
        self._loop = LoopingCall(self._flush)
        self._loop.clock = self._reactor

    def startService(self) -> None:
        super().startService()
        self._engine = _opened(self._path)
        self._threads.start()
        self._loop.start(_FLUSH_SECONDS, now=False)

    @deferred
    async def stopService(self) -> None:
        super().stopService()
        if self._engine is not None:
            self._loop.stop()
            await self._flush()
            self._threads.stop()
            self._engine.dispose()
            self._engine = None

    def sample(self, worker: str, at: float, load: Load) -> None:
        newest = self._newest.get(worker)
        keep = newest is None or abs(at - newest.kept) >= _APART_SECONDS
        kept = at if newest is None or keep else newest.kept
        self._newest[worker] = _Newest(Sample(at, load), self._reactor.seconds(), kept)
        if keep:
            self._buffer.append((worker, at, load))

    def latest(self, worker: str) -> Sample | None:
        newest = self._newest.get(worker)
        return None if newest is None else newest.sample

    @deferred
    async def history(self, worker: str, since: float) -> Sequence[Sample]:
        """The newest sample and others, evenly thinned: at most ``POINTS``. Raises RetryLater."""
        await self._flush()
        try:
            return await in_thread(self._reactor, self._threads, self._history, worker, since)
        except FAILURES as error:
            raise engine.explained(error) or error from error

    @deferred
    async def _flush(self) -> None:
        silent = self._reactor.seconds() - _FORGET_SECONDS
        self._newest = {name: newest for name, newest in self._newest.items() if newest.heard > silent}
        if not self._buffer:
            return
        taken, self._buffer = list(self._buffer), deque(maxlen=_BUFFER)
        try:
            await in_thread(self._reactor, self._threads, self._write, taken)
        except FAILURES as error:
            if not self._failing:
                self.log.warn("Utilisation samples are lost, they cannot be written: {error}", error=error)
            self._failing = True
        else:
            self._failing = False

    # In the telemetry's thread

    def _write(self, taken: Sequence[tuple[str, float, Load]]) -> None:
        assert self._engine is not None
        rows = [(text(worker), micros(at), _load_to_json(load)) for worker, at, load in taken]
        with self._engine.begin() as connection:
            execute(connection, _INSERT, rows)
            _forget(connection, rows[-1][1] - micros(_KEEP_SECONDS), self._rows)

    def _history(self, worker: str, since: float) -> Sequence[Sample]:
        assert self._engine is not None
        which: dict[str, Any] = {"worker": text(worker), "since": micros(since)}
        with self._engine.connect() as connection:
            count = connection.scalar(_COUNT, which) or 0
            found = fetch(connection, _HISTORY, step=-(-count // POINTS) or 1, **which)
        return [Sample(seconds(at), _load_of(load)) for at, load in found]


def _opened(path: Path) -> Engine:
    try:
        return _prepared(path)
    except DBAPIError as error:
        Telemetry.log.warn("{path} cannot be read and is made anew: {error}", path=path, error=error)
        for suffix in ("", "-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        return _prepared(path)


def _prepared(path: Path) -> Engine:
    engine.create_file(path)
    opened = engine.writing(path, synchronous="OFF")
    try:
        with opened.begin() as connection:
            metadata.create_all(connection)
    except DBAPIError:
        opened.dispose()
        raise
    return opened


def _forget(connection: Connection, before: int, most: int) -> None:
    """Delete rows that are too old or too many: the oldest have the lowest numbers."""
    newest = connection.scalar(select(func.max(samples.c.id))) or 0
    gone = connection.scalar(_GONE, {"before": before, "surplus": newest - most})
    if gone is not None:
        connection.execute(delete(samples).where(samples.c.id <= gone))


def _load_to_json(load: Load) -> str:
    """The load as a JSON list, which is half the size of an object: of its jobs the number, of its GPUs the
    first ones. A worker can say 128 KiB a second."""
    gpus = tuple(evolve(gpu, name=gpu.name[:_GPU_NAME]) for gpu in load.gpus[:_GPUS])
    facts = list(astuple(evolve(load, gpus=gpus, running=())))
    facts[_RUNNING] = len(load.running)
    return json.dumps(facts, separators=(",", ":"))


def _load_of(value: str) -> Load:
    cpu, total, available, own_cpu, own_memory, gpus, running, disk_free, *more = json.loads(value)
    devices = tuple(GpuLoad(*gpu) for gpu in gpus)
    jobs = (0,) * running if isinstance(running, int) else tuple(running)  # a list in older rows
    return Load(cpu, total, available, own_cpu, own_memory, devices, jobs, disk_free, *more)

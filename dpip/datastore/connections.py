"""The connections to the datastore's database, and the threads that use them, while the datastore is open."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from sqlalchemy import Engine
from twisted.internet.interfaces import IDelayedCall

from dpip.datastore.database import Database
from dpip.datastore.reader import Reader
from dpip.datastore.writer import Writer
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Histogram
from dpip.runtime.threads import FromThreads, MakeThreads, Threads

_READERS = 3
"""Threads that read. They share one interpreter: more are not faster, only less fair to the reactor."""


@define(eq=False)
class Connections:
    writer: Writer
    reader: Reader
    _threads: tuple[Threads, ...]
    _engines: tuple[Engine, ...]

    @classmethod
    def open(
        cls,
        database: Database,
        reactor: FromThreads,
        make_threads: MakeThreads,
        commits: Histogram,
        call_later: Callable[..., IDelayedCall] | None,
        monotonic: Callable[[], float],
    ) -> Connections:
        write, read = database.writing(), database.reading(_READERS)
        writing, reading = make_threads(1, "datastore-write"), make_threads(_READERS, "datastore-read")
        writing.start()
        reading.start()
        writer = Writer(reactor, writing, write, commits, call_later=call_later, monotonic=monotonic)
        return cls(writer, Reader(reactor, reading, read), (writing, reading), (write, read))

    @deferred
    async def close(self) -> None:
        """Fires when all that waited to be written is durable."""
        await self.writer.stop()
        for threads in self._threads:
            threads.stop()
        for each in self._engines:
            each.dispose()

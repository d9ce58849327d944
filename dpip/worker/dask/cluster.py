"""Dask's client, on an event loop in a thread of its own.

Methods may be called in any thread; what a :class:`ClusterListener` hears, it hears in the client's. All that
is asked at once goes to the scheduler as one graph, and what has ended meanwhile comes back in one call.

A scheduler that is new knows nothing of what the last one had: whatever has not ended is submitted again.
Each submission writes a file of its own beside the result, and the first that is reported is moved to the
result's name. So one that is still computed by a Dask worker that was taken for dead harms nothing.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Protocol

import dask.config
from attrs import asdict, define, evolve, field, frozen
from distributed import Client, Future, KilledWorker
from distributed.security import Security
from twisted.logger import Logger

from dpip.model import Outcome
from dpip.worker.compute_child import ComputeTask, Verdict, as_verdict
from dpip.worker.dask.address import ClusterAddress
from dpip.worker.dask.host import UNSHARED
from dpip.worker.dask.load import ClusterLoad, cluster_load
from dpip.worker.dask.plugin import UNLIKE, ComputeHost, compute, digest, ready
from dpip.worker.engine import EngineUnusable

_CONNECT_SECONDS: Final = 5.0
_RETRY_SECONDS: Final = 0.5
_LOAD_SECONDS: Final = 2.0
_WATCH_SECONDS: Final = 0.25
_CLOSE_SECONDS: Final = 2
_BYTES: Final = 16 * 2**20
"""Of pictures that one graph may hold."""


class ClusterListener(Protocol):
    """What hears of the cluster."""

    def is_ready(self, abilities: Mapping[str, Any]) -> None: ...
    def is_away(self, why: str) -> None: ...
    def is_unusable(self, error: EngineUnusable) -> None: ...
    def has_load(self, load: ClusterLoad) -> None: ...
    def have_ended(self, verdicts: Sequence[tuple[int, Verdict]]) -> None: ...


@define(eq=False)
class _Submitted:
    """A task that has not ended; ``future`` is Dask's while it is with a scheduler."""

    number: int
    task: ComputeTask
    first: bool
    future: Future | None = None
    path: str = ""  # of the result of this submission; none if it comes as bytes


@frozen
class _Call:
    """What one submission is called with. ``data`` is the original where files are not shared."""

    submitted: _Submitted
    key: str
    task: dict[str, Any]
    stat: list[int] | None
    data: bytes | None


class _Lost(Exception):
    """The scheduler has gone, or does not know any more what it was given."""


def security(address: ClusterAddress) -> Security | None:
    """Return what Dask's configuration says of TLS, if that is used. Raises EngineUnusable."""
    if not address.tls:
        return None
    if not dask.config.get("distributed.comm.tls.ca-file", None):
        raise EngineUnusable(
            f"{address} needs certificates: name them in Dask's configuration, as "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE and …__TLS__CLIENT__CERT and …__KEY do."
        )
    return Security(require_encryption=True)


@define(eq=False)
class Cluster:
    """``program`` is what Python runs as a compute child in the Dask workers."""

    log = Logger()

    address: ClusterAddress
    security: Security | None
    listener: ClusterListener
    plugin: ComputeHost
    _tasks: dict[int, _Submitted] = field(factory=dict, init=False)
    _done: list[_Submitted] = field(factory=list, init=False)
    _loop: asyncio.AbstractEventLoop = field(init=False)  # made by start(): a daemon forks before that
    _thread: threading.Thread | None = field(default=None, init=False)
    _client: Any = field(default=None, init=False)  # while connected, and ready
    _abilities: str = field(default="", init=False)
    _shared: bool = field(default=True, init=False)  # its Dask workers see our files, as far as we know
    _keys: Any = field(factory=count, init=False)
    _kick: asyncio.Event = field(factory=asyncio.Event, init=False)
    _calls: set[Any] = field(factory=set, init=False)
    _life: Any = field(default=None, init=False)

    # In any thread

    def start(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="dask", daemon=True)
        self._thread.start()

    def submit(self, tasks: Sequence[tuple[int, ComputeTask, bool]]) -> None:
        """Have numbered tasks computed; each with whether it comes before all that wait."""
        self._loop.call_soon_threadsafe(self._add, [_Submitted(*each) for each in tasks])

    def cancel(self, numbers: Sequence[int]) -> None:
        """Forget tasks; those that are being computed are stopped within seconds."""
        self._loop.call_soon_threadsafe(self._forget, numbers)

    def stop(self) -> None:
        """End; blocks until the thread has ended."""
        if self._thread is not None:
            self._loop.call_soon_threadsafe(lambda: self._life.cancel())
            self._thread.join()

    # In the client's thread

    def _run(self) -> None:
        self._life = self._loop.create_task(self._live())
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._life)
        with suppress(RuntimeError):  # it has tasks that only end with the process
            self._loop.run_until_complete(self._loop.shutdown_asyncgens())

    async def _live(self) -> None:
        while True:
            try:
                await self._connected()
            except EngineUnusable as error:
                self.listener.is_unusable(error)
                return
            except (OSError, TimeoutError, _Lost) as error:
                self.listener.is_away(str(error) or type(error).__name__)
            except Exception as error:  # noqa: BLE001 - a bug, of ours or of Dask's, must not end the thread
                self.log.failure("Dask's client has failed")
                self.listener.is_away(repr(error))
            await asyncio.sleep(_RETRY_SECONDS)

    async def _connected(self) -> None:
        """Be connected, until that ends. Raises OSError, _Lost, EngineUnusable."""
        calls: set[asyncio.Future[None]] = set()
        client = Client(
            self.address.scheduler,
            asynchronous=True,
            timeout=_CONNECT_SECONDS,
            set_as_default=False,
            security=self.security,
            name="dpip",
        )
        try:
            await client
            calls |= {asyncio.ensure_future(each) for each in (_watch(client), self._work(client))}
            ended, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
            await ended.pop()
        finally:
            await self._disconnect(client, self._calls | calls)

    async def _disconnect(self, client: Any, tasks: Iterable[Any]) -> None:
        self._client = None
        for each in self._tasks.values():
            each.future = None
        self._done.clear()
        waiting = list(tasks)
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        with suppress(OSError, TimeoutError):
            await client.close(timeout=_CLOSE_SECONDS)
        client.status = "closed"  # else its __del__ tries again, and blocks whichever thread that runs in

    async def _work(self, client: Any) -> None:
        try:
            await client.register_plugin(self.plugin)
            abilities = await client.submit(ready, self.plugin.name, key=self._key(), pure=False)
        except (ImportError, AttributeError) as error:
            raise EngineUnusable(
                f"The Dask workers of {self.address} have no DPIP of this version ({error}). Install the "
                "same there: pip install 'dpip[dask]'"
            ) from error
        self._abilities = digest(abilities)
        self._client = client
        await self._measure(client)
        self.listener.is_ready(abilities)
        self._give(list(self._tasks.values()))
        await asyncio.gather(self._collect(client), self._keep_measuring(client))

    # The load

    async def _keep_measuring(self, client: Any) -> None:
        while True:
            await asyncio.sleep(_LOAD_SECONDS)
            await self._measure(client)

    async def _measure(self, client: Any) -> None:
        workers = (await client.scheduler.identity(n_workers=-1))["workers"]
        self.listener.has_load(cluster_load(workers, self.plugin.name))

    # Submitting

    def _add(self, tasks: Sequence[_Submitted]) -> None:
        self._tasks.update((each.number, each) for each in tasks)
        self._give(tasks)

    def _give(self, tasks: Sequence[_Submitted]) -> None:
        """Submit tasks, if there is a scheduler."""
        if self._client is None or self._client.status != "running":
            return
        calls, ended = [], []
        for each in tasks:
            try:
                calls.append(self._call(each))
            except OSError as error:
                words = f"The original could not be read: {error}"
                ended.append((each.number, Verdict(Outcome.RETURNED, "spool-error", words)))
        self._end(ended)
        for first in (True, False):
            for graph in _graphs(call for call in calls if call.submitted.first is first):
                self._submit(graph, first)

    def _submit(self, graph: Sequence[_Call], first: bool) -> None:
        futures = self._client.map(
            compute,
            [self.plugin.name] * len(graph),
            [call.key for call in graph],
            [self._abilities] * len(graph),
            [call.task for call in graph],
            [call.stat for call in graph],
            [call.data for call in graph],
            key=[call.key for call in graph],
            pure=False,
            priority=int(first),
            batch_size=None,
        )
        for call, future in zip(graph, futures, strict=True):
            call.submitted.future = future
            self._keep(asyncio.ensure_future(self._follow(call.submitted, future)))

    def _call(self, each: _Submitted) -> _Call:
        """Return what Dask is called with. Raises OSError."""
        key, task = self._key(), each.task
        if not self._shared:
            each.path = ""
            return _Call(each, key, asdict(task), None, Path(task.source).read_bytes())
        each.path = f"{task.result}.{key.rpartition('-')[2]}"
        found = os.stat(task.source)
        stat = [found.st_size, found.st_mtime_ns]
        return _Call(each, key, asdict(evolve(task, result=each.path)), stat, None)

    def _key(self) -> str:
        return f"dpip-{next(self._keys)}-{secrets.token_hex(8)}"

    def _forget(self, numbers: Sequence[int]) -> None:
        found = [self._tasks.pop(number) for number in numbers if number in self._tasks]
        futures = [each.future for each in found if each.future is not None]
        if futures and self._client is not None:
            self._keep(asyncio.ensure_future(_cancel(self._client, futures)))

    def _keep(self, call: Any) -> None:
        """Keep a reference until it has ended: the loop itself keeps none."""
        self._calls.add(call)
        call.add_done_callback(self._calls.discard)

    # Collecting

    async def _follow(self, each: _Submitted, future: Any) -> None:
        with suppress(Exception, asyncio.CancelledError):  # its status tells what became of it
            await future.exception()
        if each.future is future:
            self._done.append(each)
            self._kick.set()

    async def _collect(self, client: Any) -> None:
        while True:
            await self._kick.wait()
            self._kick.clear()
            done, self._done = self._done, []
            await self._take(client, [each for each in done if each.number in self._tasks])

    async def _take(self, client: Any, done: Sequence[_Submitted]) -> None:
        good = [each for each in done if each.future is not None and each.future.status == "finished"]
        futures = [each.future for each in good]
        # Verdicts alone take one request to the scheduler; pictures do not go through it.
        replies = await client.gather(futures, errors="skip", direct=not self._shared) if good else []
        if len(replies) != len(good):
            raise _Lost("Results have gone with the Dask worker that had them.")
        ended, again = [], []
        for each, (reply, data) in zip(good, replies, strict=True):
            verdict = self._verdict(each, reply, data)
            again.append(each) if verdict is None else ended.append((each.number, verdict))
        ended += [(each.number, await self._trouble(each)) for each in done if each not in good]
        self._end(ended)
        self._give([each for each in again if each.number in self._tasks])

    def _verdict(self, each: _Submitted, reply: Mapping[str, Any], data: bytes | None) -> Verdict | None:
        """Return the verdict, with the result at its place; None if it must be computed once more."""
        if reply["outcome"] == UNLIKE:
            return Verdict(Outcome.RETURNED, "engine-differs", _differs(reply["worker"]))
        if reply["outcome"] != UNSHARED:
            verdict = as_verdict(reply)
            try:
                return _placed(each, verdict, data) if verdict.outcome is Outcome.DONE else verdict
            except FileNotFoundError:
                if not each.path:
                    raise
        if self._shared:
            self._shared = False
            self.log.info("The Dask workers do not share our files: pictures go to them as bytes")
        return None

    async def _trouble(self, each: _Submitted) -> Verdict:
        """Return the verdict of a task that has no result. Raises _Lost."""
        future: Any = each.future
        if future is None or future.status != "error":
            raise _Lost("The scheduler has lost our tasks.")
        error = await future.exception()
        if isinstance(error, KilledWorker):
            words = f"The Dask workers died that computed it: {error}"
            return Verdict(Outcome.CRASHED, "compute-crashed", words[:1000])
        return Verdict(Outcome.RETURNED, "engine-error", f"{type(error).__name__}: {error}"[:1000])

    def _end(self, verdicts: Sequence[tuple[int, Verdict]]) -> None:
        for number, _ in verdicts:
            self._tasks.pop(number, None)
        if verdicts:
            self.listener.have_ended(verdicts)


def _graphs(calls: Iterable[_Call]) -> Iterator[list[_Call]]:
    """Yield calls in graphs that are not too large."""
    graph: list[_Call] = []
    size = 0
    for call in calls:
        graph.append(call)
        size += len(call.data or b"")
        if size >= _BYTES:
            yield graph
            graph, size = [], 0
    if graph:
        yield graph


async def _watch(client: Any) -> None:
    """Return never; raises _Lost when the scheduler has gone."""
    while client.status == "running":
        await asyncio.sleep(_WATCH_SECONDS)
    raise _Lost("The connection to the scheduler is lost.")


async def _cancel(client: Any, futures: Sequence[Any]) -> None:
    with suppress(OSError, TimeoutError):  # with the connection they go, too
        await client.cancel(futures)


def _placed(each: _Submitted, verdict: Verdict, data: bytes | None) -> Verdict:
    """Put the result at its place. Raises FileNotFoundError if it is not where it was to be written."""
    if data is None:
        os.replace(each.path, each.task.result)
        return verdict
    try:
        Path(each.task.result).write_bytes(data)
    except OSError as error:
        return Verdict(Outcome.RETURNED, "disk-full", f"The result could not be written: {error}")
    return verdict


def _differs(worker: str) -> str:
    return (
        f"The Dask worker {worker} may give other bytes than those that joined first: its versions of DPIP, "
        "Numba or NumPy, or its kind of processor, are others. Give all of them the same."
    )

"""What runs inside a Dask worker: a plugin that keeps its compute host, and the task that uses it."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio import Future, StreamWriter
from asyncio.subprocess import PIPE
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from attrs import define
from distributed import get_worker
from distributed.diagnostics.plugin import WorkerPlugin

from dpip import __version__
from dpip.worker.dask.host import MAX_LINE
from dpip.worker.resources import memory

CHILD: Final = ("-m", "dpip.worker.child_main")
UNLIKE: Final = "unlike"
_LEAST_MEMORY: Final = 2**30
_STARTS: Final = 3
"""A task whose host has died so often is a crash."""
_FIRST_DELAY: Final = 0.2
_MAX_DELAY: Final = 30.0
"""Seconds before a host that died is started again; doubled each time, until one is ready."""

Reply = dict[str, Any]


@define(eq=False)
class _Asked:
    line: bytes
    answer: Future[Reply]
    starts: int = 0


class ComputeHost(WorkerPlugin):
    """Keeps a compute host beside the Dask worker; ``program`` is what Python runs as a compute child.

    Its setup only starts a task: a Dask worker that waits for it would miss its heartbeats.
    """

    idempotent = True  # another engine of the same cluster has registered it: it stays

    def __init__(self, program: Sequence[str] = CHILD) -> None:
        self.program = tuple(program)
        self.name = plugin_name(program)

    def setup(self, worker: Any) -> None:
        self._command = [sys.executable, "-m", "dpip.worker.dask.host", str(worker.state.nthreads)]
        self._command += [str(_memory_of_a_slot(worker)), *self.program]
        self._directory = Path(worker.local_directory)
        self._asked: dict[str, _Asked] = {}
        self._stdin: StreamWriter | None = None
        self.ready: Future[Reply] = asyncio.get_running_loop().create_future()
        self.load: Reply = {}
        worker.metrics[self.name] = lambda _: self.load
        self._running = asyncio.ensure_future(self._keep_running())

    async def teardown(self, worker: Any) -> None:
        worker.metrics.pop(self.name, None)
        self._running.cancel()
        with suppress(asyncio.CancelledError):
            await self._running

    def transition(self, key: str, start: str, finish: str, **_: Any) -> None:
        """Cancel what the scheduler does not want any more; Dask itself lets it run on."""
        if start == "executing" and key in self._asked and finish not in ("memory", "error"):
            self._send(json.dumps({"cancel": key}).encode() + b"\n")

    async def compute(
        self, key: str, task: Mapping[str, Any], stat: Sequence[int] | None, data: bytes | None
    ) -> tuple[Reply, bytes | None]:
        """Compute a task, from file to file, or from bytes to bytes."""
        if data is None:
            return await self._ask(key, task, stat), None
        source, result = (self._directory / f"{key}.{end}" for end in ("in", "out"))
        try:
            await asyncio.to_thread(source.write_bytes, data)
            reply = await self._ask(key, {**task, "source": str(source), "result": str(result)}, None)
            made = await asyncio.to_thread(result.read_bytes) if reply["outcome"] == "done" else None
        finally:
            for path in (source, result):
                path.unlink(missing_ok=True)
        return reply, made

    async def _ask(self, key: str, task: Mapping[str, Any], stat: Sequence[int] | None) -> Reply:
        line = json.dumps({"key": key, "task": dict(task), "stat": stat}).encode() + b"\n"
        asked = self._asked[key] = _Asked(line, asyncio.get_running_loop().create_future())
        self._send(line)
        try:
            return await asked.answer
        finally:
            del self._asked[key]

    def _send(self, line: bytes) -> None:
        if self._stdin is not None:
            self._stdin.write(line)

    # The host

    async def _keep_running(self) -> None:
        delay = _FIRST_DELAY
        while True:
            if await self._run():
                delay = _FIRST_DELAY
            for asked in list(self._asked.values()):
                asked.starts += 1
                if asked.starts >= _STARTS and not asked.answer.done():
                    asked.answer.set_result(_CRASHED)
            await asyncio.sleep(delay)
            delay = min(_MAX_DELAY, 2 * delay)

    async def _run(self) -> bool:
        """Run a host until it ends; returns whether it was ready."""
        host = await asyncio.create_subprocess_exec(
            *self._command, stdin=PIPE, stdout=PIPE, limit=MAX_LINE, env=_environment()
        )
        assert host.stdin is not None
        assert host.stdout is not None
        ready = False
        self._stdin = host.stdin
        try:
            for asked in self._asked.values():
                self._send(asked.line)
            async for line in host.stdout:
                ready |= self._heard(json.loads(line))
        finally:
            self._stdin = None
            with suppress(ProcessLookupError):
                host.kill()
            await host.wait()
        return ready

    def _heard(self, message: Reply) -> bool:
        """Take a message; returns whether it says that the host is ready."""
        if "ready" in message and not self.ready.done():
            self.ready.set_result(message["ready"])
        if "load" in message:
            self.load = message
        asked = self._asked.get(message.get("key", ""))
        if asked is not None and not asked.answer.done():
            asked.answer.set_result(message["verdict"])
        return "ready" in message


_CRASHED: Final = {
    "outcome": "crashed",
    "code": "compute-crashed",
    "detail": "The process that filters beside the Dask worker has died.",
    "seconds": 0.0,
}


def plugin_name(program: Sequence[str]) -> str:
    """Return a name that differs where versions, or the programs of compute children, do."""
    return " ".join(("dpip", __version__, *program))


def _memory_of_a_slot(worker: Any) -> int:
    """Return the bytes that one job may use: together the slots stay below the Dask worker's limit."""
    limit = worker.memory_manager.memory_limit or memory()[0]
    return max(_LEAST_MEMORY, int(limit) // int(worker.state.nthreads))


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}


async def compute(
    name: str,
    key: str,
    abilities: str,
    task: Mapping[str, Any],
    stat: Sequence[int] | None,
    data: bytes | None,
) -> tuple[Reply, bytes | None]:
    """Compute a task in this Dask worker, if it gives the same bytes as the others."""
    plugin: ComputeHost = get_worker().plugins[name]
    if digest(await plugin.ready) != abilities:
        return {"outcome": UNLIKE, "worker": get_worker().address}, None
    return await plugin.compute(key, task, stat, data)


async def ready(name: str) -> Reply:
    """Return what this Dask worker can do, when it can."""
    return await get_worker().plugins[name].ready  # type: ignore[no-any-return]


def digest(abilities: Mapping[str, Any]) -> str:
    """Return a text that differs where the bytes of results may."""
    return json.dumps([abilities["filters"], abilities["fingerprint"]], sort_keys=True)

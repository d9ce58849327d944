"""A real controller in this process, on free ports, with its state in a directory under the current one."""

from __future__ import annotations

import tempfile
import time
from itertools import count
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from dpip.controller.options import ControllerOptions
from dpip.controller.service import ControllerService, Parts
from dpip.controller.tap import build
from dpip.model import StoredFile, StoredPicture, WaitingJob, Workload, WorkloadSpec
from dpip.runtime.coroutines import deferred
from dpip.runtime.gc import tune_gc

_numbers = count()
_picture = StoredPicture("JPEG", "image/jpeg", 1280, 720, 1280 * 720 * 3)


def new_id() -> str:
    """Cheap: an ``IdSource`` is not what is measured."""
    return f"{next(_numbers):026d}"


def stored(folder: str) -> StoredFile:
    """A file that need not exist: pixels are not what is measured."""
    return StoredFile(f"bench/{folder}/{new_id()}.jpg", 100_000, "0" * 64, _picture, "0001.jpg")


class Controlled:
    """The controller, started by ``start``; ``parts`` are its datastore, scheduler and so on."""

    parts: Parts

    def __init__(self, reactor: Any, state: Path | None = None) -> None:
        self._reactor = reactor
        self._stopped = False
        # /tmp may be memory, where fsync costs nothing.
        self._temporary = tempfile.TemporaryDirectory(dir=Path.cwd())
        self.state = state or Path(self._temporary.name) / "state"
        options = ControllerOptions()
        options.parseOptions(["--state-dir", str(self.state), "--http", "127.0.0.1:0", "--pb", "127.0.0.1:0"])

        def built(service: ControllerService) -> Parts:
            self.parts = build(service)
            return self.parts

        self.service = ControllerService(options, reactor, built)

    async def start(self) -> None:
        self._reactor.addSystemEventTrigger("before", "shutdown", self.stop)  # of a signal, too
        tune_gc()  # as the controller's own process does
        self.service.startService()
        await self.service.ready

    async def until(self, true: Any, every: float = 0.02) -> None:
        while not true():
            await deferLater(self._reactor, every)

    async def workload(self) -> Workload:
        name = new_id()
        spec = WorkloadSpec("bench", (("grayscale", {}),))
        made = Workload(name, "admin", spec, name, time.time())
        await self.parts.datastore.add_workload(made, None)
        self.parts.scheduler.workload_opened(made)
        return made

    async def upload(self, workload: Workload, images: int = 1) -> list[WaitingJob]:
        """The originals of one request, durable; the scheduler is not told."""
        files = [(new_id(), new_id(), stored("originals")) for _ in range(images)]
        accepted, _ = await self.parts.datastore.add_originals(workload.id, files, None, time.time())
        return [original.job for original in accepted]

    @deferred
    async def stop(self) -> None:
        if not self._stopped:
            self._stopped = True
            await self.service.stopService()
            self._temporary.cleanup()


def finally_stopped(controlled: Controlled, work: Any) -> Deferred[Any]:
    """For ``react``: do the work, then stop whatever happened."""

    async def run() -> None:
        try:
            await work
        finally:
            await controlled.stop()

    return Deferred.fromCoroutine(run())

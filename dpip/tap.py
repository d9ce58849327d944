"""Builds all of DPIP in one process: the controller, and a worker that joins it like any other."""

from __future__ import annotations

from typing import Any, ClassVar

from attrs import define, field
from twisted.application.service import IService, Service
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import HostnameEndpoint

from dpip.controller.options import ControllerOptions
from dpip.controller.service import ControllerService
from dpip.controller.tap import build
from dpip.runtime.clock import keep_timers_going
from dpip.runtime.coroutines import deferred
from dpip.runtime.gc import tune_gc
from dpip.runtime.startup import end_process
from dpip.worker import tap as worker_tap
from dpip.worker.session import WorkerSession


class ServiceOptions(ControllerOptions):
    """The controller's options, and those of the worker in its process."""

    process_name: ClassVar[str] = "dpip"
    optParameters: ClassVar[list[list[Any]]] = [
        [
            "slots",
            None,
            None,
            "Images filtered at once [default: the number of cores].",
            worker_tap.parse_slots,
        ],
        ["tags", None, (), "What workloads may ask of the worker, e.g. gpu,fast.", worker_tap.parse_tags],
    ]


Options = ServiceOptions  # the name that twistd looks for


def makeService(options: ServiceOptions) -> IService:
    """For twistd: a service that ends the process when it cannot start."""
    from twisted.internet import reactor

    tune_gc()
    keep_timers_going(reactor)
    service = EmbeddedService(options, reactor)
    service.ready.addErrback(end_process, reactor)
    return service


@define(eq=False, slots=False)
class EmbeddedService(Service):
    """A controller and one worker. ``ready`` fires when the worker has joined and images can be filtered."""

    options: ServiceOptions
    reactor: Any
    ready: Deferred[None] = field(factory=Deferred, init=False)
    _controller: ControllerService = field(init=False)
    _worker: WorkerSession | None = field(default=None, init=False)  # None while it is drained
    _name: str = field(factory=lambda: f"{worker_tap.unique_name()}-embedded", init=False)

    @property
    def api_url(self) -> str:
        """The API's address on this machine, once it is ready."""
        return self._controller.api_url

    def startService(self) -> None:
        """Raises CannotStart."""
        super().startService()
        self._controller = ControllerService(
            self.options, self.reactor, build, restart_worker=self._restart_worker
        )
        self._controller.startService()
        Deferred.fromCoroutine(self._start()).chainDeferred(self.ready)

    async def _start(self) -> None:
        await self._controller.ready
        self._worker = self._start_worker()
        await self._worker.joined

    def _start_worker(self) -> WorkerSession:
        worker = worker_tap.make_worker(
            self.reactor,
            controller=HostnameEndpoint(
                self.reactor, self.options["pb"].host or "127.0.0.1", self._controller.workers_port
            ),
            read_token=lambda: self._controller.authority.token,
            name=self._name,
            tags=self.options["tags"],
            slots=self.options["slots"],
            local_store=True,  # it is this very process
            log_jobs=bool(self.options["log-requests"]),
        )
        worker.dismissed.addCallback(self._dismiss)
        worker.startService()
        return worker

    def _restart_worker(self, name: str) -> bool:
        """Start the worker again if it was drained and has this name; tell whether it was so."""
        if self._worker is not None or name != self._name or not self.running:
            return False
        self._worker = self._start_worker()
        return True

    def _dismiss(self, _: None) -> Deferred[None]:
        """Stop the worker and leave the controller running."""
        worker, self._worker = self._worker, None
        assert worker is not None
        return maybeDeferred(worker.stopService)

    @deferred
    async def stopService(self) -> None:
        """Stop the worker first, while the controller still hears what it hands back."""
        await maybeDeferred(super().stopService)
        if self._worker is not None:
            await maybeDeferred(self._worker.stopService)
        await self._controller.stopService()

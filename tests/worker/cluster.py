"""A controller's workers' port, a stand-in for the API, and workers, all in this process over loopback."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, serverFromString
from twisted.logger import globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase

from dpip.controller import worker_link as link_module
from dpip.controller.certificates import Certificates
from dpip.controller.joining import JoinTerms
from dpip.controller.local_results import LocalResults
from dpip.controller.workers import Workers
from dpip.link import session as session_module
from dpip.link.certificates import Authority, presented_over
from dpip.link.connector import token_reader
from dpip.link.join_token import TOKEN_FILE
from dpip.model import Lease, Outcome
from dpip.worker import heartbeat as pulse_module
from dpip.worker import job_runner as shift_module
from dpip.worker.session import WorkerSession
from dpip.worker.tap import make_worker
from tests.controller.test_workers import Record
from tests.worker.api import Api
from tests.worker.test_compute_pool import PROGRAM


class Events(Record):
    """A record that can be waited on."""

    def __init__(self) -> None:
        self._waiting: list[tuple[Callable[[], Any], Deferred[Any]]] = []
        super().__init__()

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, _Told(self) if name == "log" else value)

    def until(self, condition: Callable[[], Any]) -> Deferred[Any]:
        """Fires with the condition's value once it is true; looked at whenever something is told."""
        waiting: Deferred[Any] = Deferred()
        self._waiting.append((condition, waiting))
        self.look()
        return waiting

    def look(self) -> None:
        for entry in list(self._waiting):
            condition, waiting = entry
            value = condition()
            if value:
                self._waiting.remove(entry)
                reactor.callLater(0, waiting.callback, value)  # type: ignore[attr-defined]

    def told(self, kind: str) -> list[tuple[Any, ...]]:
        return [entry for entry in self.log if entry[0] == kind]

    def times(self, kind: str, count: int = 1) -> Deferred[Any]:
        """Fires when that has been told so often."""
        return self.until(lambda: self.told(kind)[:count] if len(self.told(kind)) >= count else None)

    def endings(self) -> dict[int, tuple[Outcome, str]]:
        """Of each job: outcome and code."""
        return {entry[2].job: (entry[3], entry[4]) for entry in self.told("ended")}


class _Told(list[tuple[Any, ...]]):
    def __init__(self, events: Events) -> None:
        super().__init__()
        self._events = events

    def append(self, entry: tuple[Any, ...]) -> None:
        super().append(entry)
        self._events.look()


class ClusterCase(TestCase):
    """``record`` is what the controller's neighbours hear, ``lines`` what the log says.

    With ``local_results`` workers share the image store's files if they ask for it.
    """

    timeout = 60
    local_results: LocalResults | None = None
    certificate_seconds = 3600.0
    filters: dict[str, str] = {"copy": "1"}  # noqa: RUF012 - never changed

    async def setUp(self) -> None:
        temporary = tempfile.TemporaryDirectory()
        self.addCleanup(temporary.cleanup)
        self.directory = Path(temporary.name)
        self.state = self.directory / "state"
        for name, value in (("FIRST_DELAY", 0.01), ("MAX_DELAY", 0.02), ("LONG_DELAY", 0.02)):
            self.patch(session_module, name, value)
        self.patch(shift_module, "_FIRST_PAUSE", 0.01)
        for module in (
            link_module,
            pulse_module,
        ):  # 0.1 s of silence is no sign of death
            self.patch(module, "MAX_SILENCE", 10_000)
        self.lines: list[str] = []
        globalLogPublisher.addObserver(self._observe)
        self.addCleanup(globalLogPublisher.removeObserver, self._observe)
        self.api = Api()
        await self.api.listen(self)
        self.record = Events()
        self.authority = Authority.load_or_create(self.state, reactor.seconds())  # type: ignore[attr-defined]
        self.workers = self.make_workers()
        self.port = await self.listen(self.workers)

    def _observe(self, event: Any) -> None:
        line = str(event.get("line") or event.get("words") or event.get("log_format"))
        self.lines.append(line)
        if hasattr(self, "record"):
            self.record.look()

    def said(self, words: str) -> Deferred[Any]:
        """Fires when the log has said that."""
        return self.record.until(lambda: [line for line in self.lines if words in line])

    def make_workers(self, report_seconds: float = 0.05) -> Workers:
        numbers = iter(range(1, 1000))

        def new_token() -> str:
            self.api.token = f"token{next(numbers)}"
            return self.api.token

        return Workers(
            certificates=Certificates(
                authority=self.authority,
                datastore=self.record,  # type: ignore[arg-type]
                clock=reactor,  # type: ignore[arg-type]
                presented=presented_over,
                seconds=self.certificate_seconds,
            ),
            scheduler=self.record,  # type: ignore[arg-type]
            datastore=self.record,  # type: ignore[arg-type]
            telemetry=self.record,  # type: ignore[arg-type]
            clock=reactor,  # type: ignore[arg-type]
            new_id=lambda: f"session{next(numbers)}",
            new_token=new_token,
            terms=JoinTerms(
                version="1.0",
                filters=self.filters,
                max_pixels=1000,
                api_url=lambda host: self.api.url,
                report_seconds=report_seconds,
                job_seconds=20.0,
            ),
            local_results=self.local_results,
        )

    async def listen(self, workers: Workers, port: int = 0) -> int:
        """Have them listen, and end it all when the test ends."""
        factory = TLSMemoryBIOFactory(self.authority.workers_options(), False, workers.server_factory)
        endpoint = serverFromString(reactor, f"tcp:{port}:interface=127.0.0.1")
        listening = await endpoint.listen(factory)
        workers.start()

        async def close() -> None:
            await listening.stopListening()
            workers.stop()

        self.addCleanup(close)
        return int(listening.getHost().port)

    def worker(self, name: str = "anna", slots: int = 1, **more: Any) -> WorkerSession:
        """Started; it ends with the test."""
        more.setdefault("read_token", token_reader(None, {}, self.state))
        session = make_worker(
            reactor,
            controller=HostnameEndpoint(reactor, "127.0.0.1", self.port),
            name=name,
            slots=slots,
            spool_dir=self.directory / "spool",
            command=PROGRAM,
            **more,
        )
        session.startService()

        async def stop() -> None:
            if session.running:
                await session.stopService()

        self.addCleanup(stop)
        return session

    @property
    def token_file(self) -> Path:
        return self.state / TOKEN_FILE


def lease(number: int) -> Lease:
    return Lease(number, 1, f"nonce{number}")

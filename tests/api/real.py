"""The real controller, datastore and image store behind the API, their threads inline."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from dpip.controller.accounts import Accounts
from dpip.controller.core import Controller
from dpip.controller.feed import Feed
from dpip.controller.join_tokens import JoinTokens
from dpip.controller.thumbnails import Thumbnails
from dpip.controller.webhooks import AllowedHosts, Webhooks
from dpip.datastore.datastore import Datastore
from dpip.datastore.telemetry import Telemetry
from dpip.errors import NotFound
from dpip.link.join_token import TOKEN_FILE, TokenFile
from dpip.model import Eta, Lease, LeasedJob, Outcome, Principal, Reason, Role, WorkerInfo
from dpip.runtime.coroutines import deferred
from dpip.runtime.metrics import Meters
from dpip.runtime.threads import InlineThreads
from dpip.store import image_store
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.image_store import directory_for
from dpip.testing import Hold, inline_image_store
from tests.datastore.support import empty_database

MAX_UPLOAD = 100 * 1024 * 1024


class InlineReactor(Clock):
    """A clock of its own, so that the deadlines' clock shows the API's timers only."""

    def callFromThread(self, function: Any, *args: Any, **kwargs: Any) -> None:
        function(*args, **kwargs)


class PlainPasswords:
    """No hashing: these tests are not about it."""

    async def hash(self, password: str) -> str:
        return password

    async def verify(self, password: str, known: str | None) -> bool:
        return password == known


@define
class HandScheduler:
    """Deals no job by itself: the test leases, requeues and fails them."""

    datastore: Datastore
    waiting: list[int] = field(factory=list)
    held: dict[tuple[str, Lease], LeasedJob] = field(factory=dict)
    etas: dict[str, Eta] = field(factory=dict)

    def workload_opened(self, workload: Any) -> None:
        """Nothing to do."""

    def job_ended(self, session: str, lease: Lease, *_: object) -> None:
        self.held.pop((session, lease), None)

    def workload_dropped(self, workload_id: str) -> None:
        self.held = {key: job for key, job in self.held.items() if job.workload_id != workload_id}

    def jobs_waiting(self, workload_id: str, jobs: Any) -> None:
        self.waiting += [job.job for job in jobs]

    def result_committed(self, lease: Lease) -> None:
        self.held = {key: job for key, job in self.held.items() if key[1] != lease}

    def leased(self, session: str, lease: Lease) -> LeasedJob | None:
        return self.held.get((session, lease))

    def holds(self, session: str, image_id: str) -> LeasedJob | None:
        jobs = [job for (holder, _), job in self.held.items() if holder == session]
        return next((job for job in jobs if job.original.id == image_id), None)

    def running_jobs(self, workload_id: str) -> int:
        return sum(job.workload_id == workload_id for job in self.held.values())

    def eta(self, workload_id: str) -> Eta | None:
        return self.etas.get(workload_id)

    def why(self, workload_id: str) -> list[Reason]:
        held = [job for job in self.held.values() if job.workload_id == workload_id]
        return [Reason("It was first.", 1, job.original.seq, "w") for job in held] + [
            Reason("All workers are busy.", len(self.waiting))
        ]


@define
class Maker:
    """A worker for thumbnails."""

    session: str = "s"
    hold: Hold | None = None
    info: Any = field(
        factory=lambda: WorkerInfo("w", "1", "m", 1, 2, frozenset(), {"thumbnail": "1"}, False, "f")
    )

    @deferred
    async def thumbnail(self, job: LeasedJob) -> bytes:
        if self.hold is not None:
            await self.hold.wait()
        return b"\xff\xd8\xff small"


class WatchedController:
    """The real one, with the log, the holds and the jobs by hand that :class:`MemoryController` has."""

    def __init__(self, real: Controller, scheduler: HandScheduler, workers: dict[str, Principal]) -> None:
        self.real = real
        self.log: list[tuple[Any, ...]] = []
        self._scheduler = scheduler
        self._workers = workers
        self._held: dict[str, Hold] = {}

    def __getattr__(self, name: str) -> Any:
        method = getattr(self.real, name)
        if not callable(method):
            return method

        def ask(*args: Any, **kwargs: Any) -> Any:
            self.log.append((name, *args))
            if name not in self._held:
                return method(*args, **kwargs)
            return Deferred.fromCoroutine(self._later(self._held[name], method, *args, **kwargs))

        return ask

    async def _later(self, hold: Hold, method: Any, *args: Any, **kwargs: Any) -> Any:
        await hold.wait()
        return await method(*args, **kwargs)

    @property
    def etas(self) -> dict[str, Eta]:
        return self._scheduler.etas

    def hold(self, method: str) -> Hold:
        return self._held.setdefault(method, Hold())

    @property
    def max_pixels(self) -> int:
        return self.real.max_pixels

    @max_pixels.setter
    def max_pixels(self, pixels: int) -> None:
        self.real.max_pixels = pixels

    @property
    def max_upload(self) -> int:
        return self.real.admission.max_upload

    @max_upload.setter
    def max_upload(self, size: int) -> None:
        self.real.admission.max_upload = size

    def join_worker(self, name: str) -> str:
        self._workers[f"token-of-{name}"] = Principal(name, Role.WORKER, f"session-of-{name}")
        return f"token-of-{name}"

    def release_worker(self, name: str) -> None:
        """Its link has ended; API processes hear of that soon."""
        del self._workers[f"token-of-{name}"]
        self.real.tokens_died(name)

    def lease(self, worker: str) -> LeasedJob | None:
        while self._scheduler.waiting:
            wanted = [(self._scheduler.waiting.pop(0), worker, f"nonce-{len(self.log)}")]
            [job] = _now(self.real.datastore.lease(wanted, self.real.clock()))
            if job is not None:
                self._scheduler.held[f"session-of-{worker}", job.lease] = job
                return cast(LeasedJob, job)
        return None

    def requeue(self, lease: Lease) -> None:
        _now(self.real.datastore.release([(lease, Outcome.LOST)], self.real.clock()))
        self._scheduler.result_committed(lease)
        self._scheduler.waiting.insert(0, lease.job)

    def fail_job(self, lease: Lease, code: str, detail: str) -> None:
        assert _now(self.real.datastore.fail(lease, code, detail, self.real.clock()))
        self._scheduler.result_committed(lease)


class RealBackend:
    """Mixed into an :class:`tests.api.fixture.ApiTest` before it."""

    def make_backend(self: Any) -> None:
        database = Path(self.mktemp())
        database.mkdir()
        self.makers: list[Any] = []
        feed = Feed(self.clock, lambda workload_id: real.progress_of(workload_id), "epoch")
        self.addCleanup(feed.stop)
        meters = Meters()
        datastore = Datastore(
            empty_database(database / "db.sqlite"),
            InlineThreads(),
            InlineThreads,
            changed=feed.workload_changed,
            commits=meters.commits,
        )
        self.store = inline_image_store(Path(self.root))
        self.patch(image_store, "result_bytes", lambda *_: 0)  # quotas here are of so many bytes, and no more
        telemetry = Telemetry(database / "telemetry.sqlite", InlineReactor(), InlineThreads)
        for service in (datastore, telemetry):
            service.startService()
            self.addCleanup(service.stopService)
        accounts = Accounts(datastore, PlainPasswords(), lambda: self.now, lambda: self.now, os.urandom)
        accounts.successes.limit = 10_000  # the clock stands still
        scheduler = HandScheduler(datastore)
        workers: dict[str, Principal] = {}
        file = TokenFile.load_or_create(database / TOKEN_FILE, "0" * 64, self.now)
        tokens = JoinTokens(file, InlineThreads(), InlineThreads(), lambda: self.now)
        real = Controller(
            datastore=datastore,
            image_store=self.store,
            scheduler=scheduler,
            telemetry=telemetry,
            accounts=accounts,
            admission=AdmissionControl(
                self.store.space, MAX_UPLOAD, 10 * MAX_UPLOAD, RetryAfterQueue(lambda: 0.0)
            ),
            authenticate_worker=workers.get,
            dismiss_worker=_nobody,
            restart_worker=lambda _: False,
            expel_worker=lambda name: None,
            accuse_worker=lambda by, what: None,
            join_tokens=tokens,
            webhooks=Webhooks(
                datastore,
                InlineReactor(),
                lambda: self.now,
                self._post,
                AllowedHosts(frozenset({"allowed.example"})),
            ),
            operator_warnings=list,
            directory_for=directory_for,
            new_id=self.ids,
            clock=lambda: self.now,
            feed=feed,
            meters=meters,
            thumbnails=Thumbnails(lambda: self.makers, self.ids, self.clock, lambda *_: bool),
            max_pixels=10**8,
        )
        self.controller = WatchedController(real, scheduler, workers)
        _now(Deferred.fromCoroutine(accounts.add_user("admin", "password", Role.ADMIN, None)))

    def _post(self: Any, url: str, headers: dict[str, str], body: bytes) -> Deferred[int]:
        """Nothing is sent: the service does not run here."""
        raise AssertionError(url)

    def uploads_under_way(self: Any) -> int:
        """Their bytes are counted, so this is 0 or 1."""
        return int(self.controller.real.admission.in_flight > 0)


def _nobody(name: str) -> None:
    raise NotFound(f"No worker named {name!r} has joined.")


def _now(done: Deferred[Any]) -> Any:
    """The result of what inline threads have done already."""
    results: list[Any] = []
    done.addCallback(results.append)
    return results[0]

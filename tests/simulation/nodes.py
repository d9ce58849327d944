"""The real controller and the real worker on simulated machines."""

from __future__ import annotations

from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from argon2 import PasswordHasher
from attrs import define, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.controller.options import ControllerOptions
from dpip.controller.service import ControllerService
from dpip.controller.tap import build
from dpip.datastore.datastore import Datastore
from dpip.filters import registry
from dpip.link.certificates import Authority, Credential, Key, Presented
from dpip.link.connector import Connector
from dpip.link.join_token import TOKEN_FILE, JoinToken
from dpip.model import CertificateRecord, Load, Role
from dpip.runtime.threads import InlineThreads, in_thread
from dpip.worker.compute_pool import ComputePool
from dpip.worker.session import WorkerSession
from dpip.worker.spool import Spool
from tests.simulation.child import Engine, SimulatedChild
from tests.simulation.process import EPOCH, Process, Threads
from tests.simulation.world import Machine, World

CONTROLLER = "10.0.0.1"
HTTP, PB = 8080, 8787
PASSWORD = "password"
JOB_SECONDS = 5
_GIB = 2**30
_RESTART_SECONDS = 2.0
_WORKERS = 20  # that have their certificates already, as serial numbers their names
_END = 1e10


def fingerprint_of(worker: str) -> str:
    """Each worker's engine is a little different, so that a result tells who made it."""
    return f"stand-in of {worker}"


def prepare(directory: Path, users: list[str]) -> None:
    """A state directory as the first start of a controller leaves it: it is the same for all seeds."""
    Authority.load_or_create(directory, EPOCH)
    datastore = Datastore(directory / "dpip.sqlite", InlineThreads(), InlineThreads)
    datastore.startService()
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    for name in ["admin", *users]:
        datastore.add_user(name, hashed, Role.ADMIN if name == "admin" else Role.USER, None, EPOCH)
    for number in range(_WORKERS):
        name = f"worker{number}"
        datastore.issue_certificate(CertificateRecord(name, name, "", EPOCH, _END), EPOCH)
    datastore.stopService()


def _options(state: Path) -> ControllerOptions:
    options = ControllerOptions()
    options.parseOptions(
        [
            *("--http", f"{CONTROLLER}:{HTTP}", "--behind-proxy", "--pb", f"{CONTROLLER}:{PB}"),
            *("--state-dir", str(state), "--job-seconds", str(JOB_SECONDS)),
        ]
    )
    return options


@define
class ControllerNode:
    """Builds the controller on its machine, again after each end."""

    world: World
    machine: Machine | None = None

    def boot(self, process: Process) -> None:
        machine = self.machine
        assert machine is not None
        service = ControllerService(
            _options(process.disk.root),
            process,
            partial(build, host=process.host),
            secured=lambda tls, factory: factory,
            presented=lambda transport: Presented(transport.out.target.shows, 0.0, _END),
        )
        machine.service = service
        service.ready.addErrback(self._cannot_start, process)
        try:
            service.startService()
        except (Exception, SystemExit):  # noqa: BLE001 - twistd would end with it
            self._cannot_start(Failure(), process)

    def _cannot_start(self, failure: Failure, process: Process) -> None:
        """As twistd would: the process ends, and is started again."""
        self.world.trace(f"{process.name} cannot start: {failure.getErrorMessage()}")
        machine = self.machine
        assert machine is not None
        self.world.later(_RESTART_SECONDS, machine.start)
        if machine.process is process:
            machine.kill()


class _NoGpus:
    def open(self) -> None:
        """There are none."""


@cache
def _certified() -> tuple[Key, str]:
    """A key with its certificate, which are never shown: simulated connections have no TLS."""
    with TemporaryDirectory(prefix="dpip-test-") as directory:
        key = Key()
        certificate, _ = Authority.load_or_create(Path(directory), EPOCH).certify(
            "worker", key.public(), EPOCH, _END - EPOCH
        )
        return key, certificate


@implementer(IStreamClientEndpoint)
@frozen
class _Showing:
    """In the place of TLS: whoever connects shows the certificate of this serial number."""

    address: IStreamClientEndpoint
    serial: str

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self.address.connect(protocolFactory).addCallback(self._shown)

    def _shown(self, protocol: Any) -> Any:
        protocol.transport.shows = self.serial
        return protocol


@frozen
class _Gauge:
    """Of a machine that is never short of anything but disk."""

    process: Process

    def sample(self, children: Any, running: Any, idle_percent: float) -> Load:
        _, _, free = self.process.disk.usage("")
        return Load(
            cpu_percent=50.0,
            memory_total=8 * _GIB,
            memory_available=6 * _GIB,
            own_cpu_percent=1.0,
            own_memory=_GIB,
            running=tuple(running),
            disk_free=free,
            idle_percent=idle_percent,
        )


@define
class WorkerNode:
    """Builds a worker on its machine, again after each end."""

    world: World
    name: str
    slots: int
    token: JoinToken
    filters: dict[str, str]
    machine: Machine | None = None
    engine: Engine | None = None

    def boot(self, process: Process) -> None:
        machine = self.machine
        assert machine is not None
        self.engine = engine = Engine(
            self.filters, fingerprint_of(self.name), process.disk, process.streams["engine"]
        )
        process.spawn = lambda protocol: SimulatedChild(process, protocol, engine)
        threads = Threads(process, 1)
        connector = Connector(
            HostnameEndpoint(process, CONTROLLER, PB),
            lambda: self.token,
            process,
            secured=lambda tls, endpoint: _Showing(endpoint, self.name),
            credential=Credential(self.token.pin, *_certified(), _END, _END),
        )
        machine.service = service = WorkerSession(
            connector=connector,
            worker_name=self.name,
            machine=self.name,
            tags=(),
            cores=self.slots,
            gpus=_NoGpus(),
            engine=ComputePool(process, process.host.monotonic, self.slots, _GIB),
            spool=Spool(
                process.disk.root / "spool",
                disk_usage=process.disk.usage,
                memory=process.disk.root / "memory",
                monotonic=process.host.monotonic,
            ),
            sampler=_Gauge(process),
            reactor=process,
            in_thread=lambda function, *arguments: in_thread(process, threads, function, *arguments),
            jitter=process.streams["jitter"].random,
        )
        service.joined.addErrback(self._never_joins, process)
        service.startService()

    def _never_joins(self, failure: Failure, process: Process) -> None:
        self.world.violated(f"{process.name} can never join: {failure.getErrorMessage()}")


def add_controller(world: World, template: Path) -> Machine:
    node = ControllerNode(world)
    node.machine = world.machine("controller", CONTROLLER, node.boot, template)
    return node.machine


def add_worker(
    world: World, number: int, slots: int, template: Path, name: str | None = None, version: str | None = None
) -> WorkerNode:
    """``version`` replaces the true one of its filters."""
    token = JoinToken.parse((template / TOKEN_FILE).read_text(encoding="ascii"))
    filters = {each: version or registry.find(each).version for each in registry.names()}
    machine_name = f"worker{number}"
    node = WorkerNode(world, name or machine_name, slots, token, filters)
    node.machine = world.machine(machine_name, f"10.0.1.{number}", node.boot)
    if fingerprint_of(node.name) not in world.fingerprints:
        world.fingerprints.append(fingerprint_of(node.name))
    return node


def stopped(machine: Machine) -> Deferred[None]:
    """End it in good order."""
    done: Deferred[None] = Deferred()

    def stop() -> None:
        Deferred.fromCoroutine(_stopped(machine)).chainDeferred(done)

    assert machine.process is not None
    machine.world.clock.call(machine.process, 0.0, stop)
    return done


async def _stopped(machine: Machine) -> None:
    await machine.service.stopService()

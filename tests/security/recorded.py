"""What workers really send: whole sessions, recorded by running both ends against each other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import evolve, frozen
from twisted.internet.task import Clock

from dpip.controller.certificates import Certificates
from dpip.controller.joining import JoinTerms
from dpip.controller.workers import Workers
from dpip.link import worker_messages as wire
from dpip.link.broker import call, notify
from dpip.link.certificates import Presented
from dpip.model import Lease, Outcome
from tests.controller.test_workers import HELLO, LOAD, Agent, Record, in_memory, job
from tests.wires import Wire


@frozen
class Session:
    """The pieces that a worker sent; when ``joining`` of them had arrived it had joined."""

    name: str
    pieces: tuple[bytes, ...]
    joining: int

    @property
    def whole(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def before(self) -> bytes:
        """All until it had joined."""
        return b"".join(self.pieces[: self.joining])

    @property
    def after(self) -> bytes:
        """All that it said as one who has joined."""
        return b"".join(self.pieces[self.joining :])


def workers_port(clock: Clock) -> tuple[Workers, Record]:
    """The real one, before neighbours that only write down what they are told."""
    record = Record()
    numbers = iter(range(1, 10**9))
    neighbour: Any = record
    workers = Workers(
        certificates=Certificates(
            authority=in_memory(),
            datastore=neighbour,
            clock=clock,
            presented=lambda transport: Presented("a1", -1.0, 1e12),
            seconds=3600.0,
        ),
        scheduler=neighbour,
        datastore=neighbour,
        telemetry=neighbour,
        clock=clock,
        new_id=lambda: f"session{next(numbers)}",
        new_token=lambda: f"token{next(numbers)}",
        terms=JoinTerms(
            version="1.0", filters=HELLO.filters, max_pixels=1000, api_url=lambda host: f"http://{host}:8080"
        ),
    )
    workers.start()
    return workers, record


class _Recorder:
    """One worker at a port of its own; ``session`` is what it has sent."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.workers, self.record = workers_port(self.clock)
        self.sent: list[bytes] = []
        self.joining = 0
        self.wire = Wire(self, self.clock)  # type: ignore[arg-type]  # a door is what builds protocols
        self.wire.client.trust()

    def buildProtocol(self, address: Any) -> Any:
        protocol: Any = self.workers.server_factory.buildProtocol(address)
        received = protocol.dataReceived

        def heard(piece: bytes) -> None:
            self.sent.append(piece)
            received(piece)

        protocol.dataReceived = heard
        return protocol

    def join(self, secret: bytes = b"", hello: wire.WorkerHello = HELLO, method: str = "join") -> Any:
        answer = self.ask(self.wire.root, method, secret, wire.encode(hello), Agent())
        self.joining = len(self.sent)
        return answer[1]

    def ask(self, target: Any, name: str, *arguments: Any) -> Any:
        return self.wire.result(call(target, name, *arguments, clock=self.clock, timeout=20))

    def tell(self, target: Any, name: str, *arguments: Any) -> None:
        notify(target, name, *arguments)
        self.wire.pump.flush()

    def session(self, name: str) -> Session:
        return Session(name, tuple(self.sent), self.joining)


def _at_work() -> Session:
    at = _Recorder()
    session = at.join()
    report = wire.encode(wire.Report(LOAD))
    at.ask(session, "report", report)
    at.wire.result(at.record.link.run([job(number) for number in range(20)]))
    at.tell(session, "ended", _endings(20, Outcome.DONE))
    at.ask(session, "report", wire.encode(wire.Report(evolve(LOAD, running=tuple(range(100))))))
    at.tell(session, "ended", _endings(3, Outcome.FAILED))
    at.ask(session, "leaving")
    return at.session("a worker at work")


def _reporting() -> Session:
    at = _Recorder()
    session = at.join(hello=evolve(HELLO, tags=("gpu", "here"), filters={f"own{n}": "1" for n in range(200)}))
    for _ in range(10):
        at.ask(session, "report", wire.encode(wire.Report(LOAD)))
    return at.session("a worker that reports")


def _refused() -> Session:
    at = _Recorder()
    at.join(secret=b"another secret")
    return at.session("a worker with a wrong token")


def _busy() -> Session:
    at = _Recorder()
    session = at.join()
    at.ask(session, "report", wire.encode(wire.Report(LOAD)))
    at.tell(session, "ended", _endings(wire.BATCH, Outcome.DONE))
    at.tell(session, "ended", _endings(wire.BATCH, Outcome.DONE))
    return at.session("a worker with many results")


def _endings(count: int, outcome: Outcome) -> bytes:
    endings = [
        wire.AttemptEnding(Lease(number, 1, f"n{number}"), outcome, 0.25, "", "") for number in range(count)
    ]
    return wire.encode(wire.AttemptEndings(tuple(endings)))


_RECORDERS: tuple[Callable[[], Session], ...] = (_at_work, _reporting, _refused, _busy)


def sessions() -> tuple[Session, ...]:
    """One of each kind."""
    return tuple(record() for record in _RECORDERS)

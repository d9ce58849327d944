"""Worker-like peers for the benches of the controller: they join over TLS like workers, and do no work.

``python -m bench.agents PORT STATE_DIR COUNT SLOTS EVERY`` joins ``COUNT`` of them, all in this process. They
report every ``EVERY`` seconds, say at once that each job they are sent is done, and end with the standard
input.
"""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import evolve
from twisted.internet import protocol, stdio, task
from twisted.internet.defer import Deferred, DeferredSemaphore, succeed
from twisted.internet.endpoints import HostnameEndpoint

from dpip import __version__
from dpip.controller.tap import registry
from dpip.link import worker_messages as wire
from dpip.link.broker import Broker, Callee, LinkClientFactory, call, notify
from dpip.link.certificates import Key
from dpip.link.connector import Connector, token_reader
from dpip.model import Load, Outcome
from dpip.worker.heartbeat import Heartbeat

REPORT_SECONDS = 5.0
JOINING = 32  # at once; the controller takes no more than 64 strangers of one address
GIB = 2**30
LOAD = Load(50.0, 64 * GIB, 60 * GIB, 40.0, GIB, disk_free=100 * GIB)


class Agent(Callee):
    """One peer. ``joined`` fires when it has been welcomed."""

    def __init__(self, reactor: Any, name: str, slots: int, every: float) -> None:
        self._reactor = reactor
        self._name = name
        self._slots = slots
        self._every = every  # seconds between two reports
        self._session: Any = None
        self.joined: Deferred[None] = Deferred()

    def join(self, port: int, state: Path) -> Deferred[None]:
        self._caller = LinkClientFactory(self._reactor, self._connected, lambda broker, why: self._lost())
        address = HostnameEndpoint(self._reactor, "127.0.0.1", port)
        self._connector = Connector(address, token_reader(None, {}, state), self._reactor)
        self._connect()
        return self.joined

    def _connect(self) -> None:
        self._connector.connect(self._caller).addErrback(self.joined.errback)

    def remote_run(self, data: object) -> None:
        jobs = wire.decode(data, wire.Jobs).jobs
        endings = [wire.AttemptEnding(job.lease, Outcome.DONE, 0.001) for job in jobs]
        for message in wire.batches(endings, wire.AttemptEndings):
            notify(self._session, "ended", message)

    def remote_cancel(self, data: object) -> None:
        wire.decode(data, wire.Leases)

    def remote_ping(self) -> None:
        pass

    def _connected(self, broker: Broker) -> None:
        hello = wire.WorkerHello(
            name=self._name,
            version=__version__,
            machine=self._name,
            slots=self._slots,
            capacity=2 * self._slots + 4,
            tags=(),
            filters={name: registry.find(name).version for name in registry.names()},
            has_gpu=False,
            fingerprint="bench",
        )
        root = broker.remoteForName("root")
        key = Key()
        hello = evolve(hello, key=key.public() if self._connector.secret else "")
        arguments = (self._connector.secret, wire.encode(hello), self)
        welcome = call(root, "join", *arguments, clock=self._reactor, timeout=60.0)
        welcome.addCallback(self._welcomed, broker, key).addErrback(self.joined.errback)

    def _welcomed(self, answer: Any, broker: Broker, key: Key) -> None:
        data, self._session = answer
        if self._session is None:
            given = wire.decode(data, wire.Certificate)
            self._connector.certified(key, given.certificate, given.seconds)
            broker.transport.loseConnection()
            return
        broker.trust()
        Heartbeat(self._session, lambda: succeed(LOAD), broker.drop, self._reactor).start(self._every)
        self.joined.callback(None)

    def _lost(self) -> None:
        if self._connector.newly_certified:
            self._connect()  # with the certificate that it was given
        elif not self.joined.called:
            self.joined.errback(ConnectionError(f"{self._name} was turned away"))


class _Standing(protocol.Protocol):
    """Until the standard input ends."""

    def __init__(self, over: Deferred[None]) -> None:
        self._over = over

    def connectionLost(self, reason: Any = None) -> None:
        self._over.callback(None)


def main(reactor: Any, port: str, state: str, count: str, slots: str, every: str) -> Deferred[None]:
    over: Deferred[None] = Deferred()
    stdio.StandardIO(_Standing(over))
    gate = DeferredSemaphore(JOINING)
    for number in range(int(count)):
        agent = Agent(reactor, f"agent-{number}", int(slots), float(every))
        gate.run(agent.join, int(port), Path(state)).addErrback(lambda failure: failure.printTraceback())
    return over


class Agents:
    """The process of them, for a bench that runs the controller; a context manager."""

    def __init__(self, port: int, state: Path, count: int, slots: int, every: float = REPORT_SECONDS) -> None:
        arguments = [str(port), str(state), str(count), str(slots), str(every)]
        self._start: Callable[[], Any] = lambda: subprocess.Popen(
            [sys.executable, "-m", "bench.agents", *arguments], stdin=subprocess.PIPE
        )

    def __enter__(self) -> Agents:
        self._process = self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.stdin.close()
        end = time.monotonic() + 10.0
        while self._process.poll() is None and time.monotonic() < end:
            time.sleep(0.05)
        if self._process.poll() is None:
            self._process.kill()
        self._process.wait()


if __name__ == "__main__":
    task.react(main, sys.argv[1:])

"""A server that answers as the test says, a clock that does not wait, and a client between the two."""

from __future__ import annotations

import json
import tempfile
from collections import deque
from collections.abc import Callable
from pathlib import Path
from typing import Any

from attrs import define, field, frozen
from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock
from twisted.protocols.policies import WrappingFactory
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request, Site
from zope.interface import implementer

from dpip.client import Client

reactor: Any = global_reactor


@frozen
class Seen:
    """One request as it arrived."""

    method: str
    uri: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def temporary_folder(case: Any) -> Path:
    """A folder that goes with the test; trial's own ``mktemp`` leaves it behind under pytest."""
    return Path(case.enterContext(tempfile.TemporaryDirectory(prefix="dpip-test-")))


Answer = Callable[[Request], bytes | int]


def answer(
    facts: Any = None, status: int = 200, body: bytes | None = None, headers: dict[str, str] | None = None
) -> Answer:
    def write(request: Request) -> bytes:
        request.setResponseCode(status)
        kind = "application/json" if status < 400 else "application/problem+json"
        for name, value in {"Content-Type": kind, **(headers or {})}.items():
            request.setHeader(name, value)
        return json.dumps(facts).encode() if body is None else body

    return write


def problem(status: int, code: str = "some-code", detail: str = "Some detail.", **headers: str) -> Answer:
    facts = {
        "type": f"urn:dpip:problem:{code}",
        "title": "A title",
        "status": status,
        "detail": detail,
        "request_id": "r-1",
        "available": ["blur"],
    }
    return answer(facts, status, headers={name.replace("_", "-"): value for name, value in headers.items()})


def hang_up(request: Request) -> int:
    """The connection breaks before an answer."""
    request.transport.abortConnection()
    return NOT_DONE_YET


def say_nothing(request: Request) -> int:
    return NOT_DONE_YET


def stop_in_the_middle(body: bytes, headers: dict[str, str] | None = None) -> Answer:
    """Headers that promise more than ``body``, and a broken connection."""

    def write(request: Request) -> int:
        request.setHeader("Content-Length", str(len(body) + 100))
        for name, value in (headers or {}).items():
            request.setHeader(name, value)
        request.write(body)
        request.channel.transport.unregisterProducer()  # the channel, which would keep the connection open
        request.channel.transport.loseConnection()
        return NOT_DONE_YET

    return write


class StandIn(Resource):
    """Gives the answers in their order, and keeps what it was asked."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.answers: deque[Answer] = deque()
        self.seen: list[Seen] = []
        self.arrived: Deferred[None] = Deferred()

    def render(self, request: Request) -> bytes | int:
        headers = {
            name.decode().lower(): values[-1].decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        body = request.content.read()
        self.seen.append(Seen(request.method.decode(), request.uri.decode(), headers, body))
        arrived, self.arrived = self.arrived, Deferred()
        arrived.callback(None)
        return self.answers.popleft()(request)


@implementer(IReactorTime)
@define
class HurriedClock:
    """Pauses shorter than ``hurry`` are over at once, and noted; longer ones wait for :meth:`advance`."""

    hurry: float = 55.0
    pauses: list[float] = field(factory=list)
    _clock: Clock = field(factory=Clock)

    def seconds(self) -> float:
        return self._clock.seconds()

    def callLater(self, delay: float, work: Callable[..., Any], *args: Any, **kw: Any) -> Any:
        if delay >= self.hurry:
            return self._clock.callLater(delay, work, *args, **kw)
        if delay:
            self.pauses.append(round(delay, 3))
            self._clock.rightNow += delay
        return reactor.callLater(0, work, *args, **kw)

    def getDelayedCalls(self) -> list[Any]:
        return self._clock.getDelayedCalls()

    def advance(self, seconds: float) -> None:
        self._clock.advance(seconds)


def _closed(connection: Any) -> Deferred[None]:
    gone: Deferred[None] = Deferred()
    lost = connection.connectionLost
    connection.connectionLost = lambda reason: (lost(reason), gone.callback(None))
    connection.transport.abortConnection()
    return gone


class ServedTestCase(TestCase):
    """``self.client`` talks to ``self.site`` over loopback; everything is closed at the end."""

    timeout = 20

    def serve(self, site: Any, tls: CertificateOptions | None = None, **options: Any) -> Client:
        self.factory = WrappingFactory(site)
        factory = self.factory if tls is None else TLSMemoryBIOFactory(tls, False, self.factory)
        port = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self._close_connections)
        self.addCleanup(port.stopListening)
        self.url = f"http{'s' if tls else ''}://127.0.0.1:{port.getHost().port}"
        self.clock = HurriedClock()
        client = Client(reactor, self.url, clock=self.clock, **options)
        client._retry.chance = lambda: 0.0
        self.addCleanup(client.close)
        return client

    def _close_connections(self) -> Deferred[Any]:
        return gatherResults([_closed(connection) for connection in list(self.factory.protocols)])

    async def refusal(self, kind: type[Exception], work: Any) -> Any:
        """What awaiting ``work`` raises, which must be a ``kind``."""
        try:
            result = await work
        except kind as error:
            return error
        raise self.failureException(f"{kind.__name__} was not raised; the result is {result!r}")


class StandInTestCase(ServedTestCase):
    def setUp(self) -> None:
        self.stand_in = StandIn()
        self.client = self.serve(Site(self.stand_in, parsePOSTFormSubmission=False))

    def say(self, *answers: Answer) -> None:
        self.stand_in.answers.extend(answers)

    @property
    def seen(self) -> list[Seen]:
        return self.stand_in.seen

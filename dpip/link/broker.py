"""Perspective Broker within bounds, for both ends of a link.

Of Perspective Broker's commands ``message``, ``answer``, ``error`` and ``decref`` remain; arguments are bytes
and references. There is no login, no copy, no cache, no class of the peer's choice and no traceback over the
wire. Our calls carry one JSON text each (``dpip.link.codec``).

Errors cross as one sentence: the detail of a :class:`~dpip.errors.DpipError`. Any other exception is a bug of
this side: it is logged here, and the peer gets a general sentence.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter, deque
from collections.abc import Callable, Iterator
from functools import cache
from inspect import signature
from typing import Any, Final

from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.spread import jelly, pb
from twisted.spread.banana import BananaError

from dpip.errors import DpipError
from dpip.link.banana import Decoder, Expression, ProtocolViolation
from dpip.link.codec import MAX_MESSAGE
from dpip.link.worker_messages import MAX_HELLO, MAX_REPORT
from dpip.runtime.allowance import Allowances
from dpip.runtime.logs import LimitedLog
from dpip.runtime.transports import keep_alive

UNJOINED_BYTES: Final = MAX_HELLO + 4 * 1024
"""All that a peer may send before it has joined."""
MESSAGE_BYTES: Final = MAX_MESSAGE + 4 * 1024
"""One message of the controller."""
REPORT_BYTES: Final = MAX_REPORT + 4 * 1024
"""One message of a worker that has joined."""
JOIN_SECONDS: Final = 10.0
MAX_UNJOINED: Final = 256
MAX_UNJOINED_PER_ADDRESS: Final = 64
"""One machine may start many workers at once. A worker whose connection is refused tries again."""
WEB_SERVER: Final = (
    "it is a web server, perhaps the controller's API: give the port where workers join (--pb, usually 8787)"
)
SILENT: Final = (
    "nothing came that a controller would send: give the port where workers join (--pb, usually 8787), not "
    "that of the API"
)
CONNECTIONS_AT_ONCE: Final = 512
CONNECTIONS_EACH_SECOND: Final = 16
"""New ones of one address: a handshake costs milliseconds, a connection that is turned away none."""
MAX_UNASKED: Final = 10_000
"""Answers that come too late, in the life of a connection."""
BYTES_AT_ONCE: Final = 8 * 1024
"""Bytes of one peer that are handled before the reactor's other work has its turn."""
BYTES_AT_LEAST: Final = 1024
"""What a message counts for there, however small it is."""
_SENTENCE: Final = 500
_COMMANDS: Final = frozenset({b"version", b"message", b"answer", b"error", b"decref"})


class CallRefused(DpipError):
    """The peer refused a call, or could not do it; ``detail`` is the peer's sentence."""

    code = "refused"
    title = "The other side refused a call"


class LinkLost(DpipError):
    """The connection is gone, or was before the call."""

    code = "link-lost"
    title = "The connection is gone"


class CallTimeout(DpipError):
    """The peer has not answered in time."""

    code = "no-answer"
    title = "No answer in time"


class Callee(pb.Referenceable):
    """An object whose ``remote_…`` methods a peer may call, with positional arguments, all required."""


class RemoteObject(pb.RemoteReference):
    """The peer's object. Twisted's class raises when it is freed if a peer has named an object wrongly."""

    doRefCount = 0


jelly.setUnjellyableForClass("remote", RemoteObject)


class Allowed(jelly.SecurityOptions):
    """Lets through exactly the types of our calls. Twisted's class lets every dotted name through."""

    names = frozenset(
        {b"remote", b"tuple", b"dictionary", b"None"}
        | {b"builtins." + kind for kind in (b"bytes", b"tuple", b"dict", b"NoneType")}
    )

    def isTypeAllowed(self, typeName: object) -> bool:
        return typeName in self.names


class BrokerFactory(ABC, Factory):
    """Makes brokers, and is called when their state changes."""

    noisy = False
    unsafeTracebacks = False

    def clientConnectionMade(self, broker: Broker) -> None:
        """Perspective Broker has been negotiated: calls can be made."""

    @abstractmethod
    def settled(self, broker: Broker, lost: Failure | None) -> None:
        """The peer has joined (``lost`` is None), or its connection has ended, joined or not."""


class Broker(pb.Broker):
    """One connection. Until :meth:`trust` its peer may send few bytes, and must join in time."""

    log = Logger()
    factory: Any
    transport: Any
    waitingForAnswers: Any
    _deadline: IDelayedCall | None = None
    _dropped = False
    _parted = False
    _resuming: IDelayedCall | None = None  # more has arrived than is handled in one turn

    def __init__(
        self, factory: BrokerFactory, is_client: bool, clock: IReactorTime, log_line: Callable[[str], None]
    ) -> None:
        super().__init__(is_client, Allowed())
        self.factory = factory
        self.knownDialects = [b"pb"]
        self.trusted = False
        self._clock = clock
        self._log_line = log_line
        self._decoder = Decoder(UNJOINED_BYTES)
        self._received = 0
        self._unasked = 0
        self._arrived: deque[bytes] = deque()
        self._expressions = self._decoded()

    def trust(self, most: int | None = None) -> None:
        """The peer has joined: from now on the limit is for each message, not for the whole connection.

        ``most`` bytes are allowed, by default those of a report from a worker, of any from a controller.
        """
        if not self.trusted:
            self.trusted = True
            self._decoder.limit = most or (MESSAGE_BYTES if self.isClient else REPORT_BYTES)
            self._cancel_deadline()
            self.factory.settled(self, None)

    def drop(self, reason: str) -> None:
        """End the connection now, with one line in the log."""
        if not self._dropped and not self.disconnected:
            self._dropped = True
            if not self._parted:
                self._log_line(f"Connection with {self.peer} dropped: {reason}.")
            self.transport.abortConnection()

    def part(self) -> None:
        """End the connection after the answer to the present call, and ignore what else the peer sends."""
        self._parted = True
        self._clock.callLater(0, self.transport.loseConnection)

    def on_lost(self, then: Callable[[], object]) -> None:
        """Have ``then`` called when the connection has ended."""
        self.notifyOnDisconnect(then)

    @property
    def peer(self) -> str:
        """The address of the other end, for people."""
        address = self.transport.getPeer() if self.transport else None
        return f"{getattr(address, 'host', '?')}:{getattr(address, 'port', '?')}"

    def connectionMade(self) -> None:
        super().connectionMade()
        keep_alive(self.transport)
        self._deadline = self._clock.callLater(JOIN_SECONDS, self._is_late)

    def _is_late(self) -> None:
        self.drop(SILENT if self.isClient and not self._received else "it did not join in time")

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._cancel_deadline()
        self._arrived.clear()
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        super().connectionLost(reason)
        self.factory.settled(self, reason)

    def dataReceived(self, chunk: bytes) -> None:
        if self._dropped or self._parted:
            return
        try:
            if not self._received and chunk.startswith(b"HTTP/"):
                raise ProtocolViolation(WEB_SERVER)
            self._count(len(chunk))
            self._arrived.append(chunk)
            if self._resuming is None and not self._handle_arrived():
                self._pause_reading()
        except ProtocolViolation as what:
            self.drop(str(what))
        except Exception as error:  # noqa: BLE001 - whatever bytes do inside PB, only their connection pays
            self.drop(f"not a peer of ours ({type(error).__name__})")

    def _handle_arrived(self) -> bool:
        """Handle some of what has arrived; true when there is no more, or none is wanted."""
        left = BYTES_AT_ONCE
        while left > 0:
            expression = next(self._expressions, None)
            if expression is None:
                self._expressions = self._decoded()
                return True
            self.callExpressionReceived(expression)
            if self._dropped or self._parted:
                return True
            left -= max(self._decoder.size, BYTES_AT_LEAST)
        return False

    def _decoded(self) -> Iterator[Expression]:
        while self._arrived:
            yield from self._decoder.feed(self._arrived.popleft())

    def _pause_reading(self) -> None:
        """Handle many small messages in several turns of the reactor, so that its other work goes on."""
        self.transport.pauseProducing()
        self._resuming = self._clock.callLater(0, self._resume_reading)

    def _resume_reading(self) -> None:
        self._resuming = None
        self.transport.resumeProducing()
        self.dataReceived(b"")

    def _count(self, size: int) -> None:
        self._received += size
        if not self.trusted and self._received > UNJOINED_BYTES:
            raise ProtocolViolation("too many bytes before joining")

    def callExpressionReceived(self, obj: Expression) -> None:
        if not self.currentDialect and obj != (self.knownDialects if self.isClient else b"pb"):
            raise ProtocolViolation("not Perspective Broker of ours")
        super().callExpressionReceived(obj)

    def expressionReceived(self, lst: Expression) -> None:
        if not isinstance(lst, list) or not lst or lst[0] not in _COMMANDS:
            raise ProtocolViolation("not a message of ours")
        super().expressionReceived(lst)

    # Calls that come in

    def proto_message(
        self, requestID: Any, objectID: Any, message: Any, answerRequired: Any, netArgs: Any, netKw: Any
    ) -> None:
        method, arguments = self._understood(self.localObjectForID(objectID), message, netArgs, netKw)
        try:
            answer = self.serialize(method(*arguments))
        except Exception:  # noqa: BLE001 - sent to the peer or logged, see _failed
            self._failed(Failure(), requestID, answerRequired)
            return
        if isinstance(answer, Deferred):
            answer.addCallback(self._answer, requestID, answerRequired)
            answer.addErrback(self._failed, requestID, answerRequired)
        else:
            self._answer(answer, requestID, answerRequired)

    def _understood(
        self, found: object, name: bytes, args: Expression, kwargs: Expression
    ) -> tuple[Callable[..., object], tuple[object, ...]]:
        """Return the method that is called and its arguments. Raises ProtocolViolation."""
        method = getattr(found, f"remote_{name.decode('ascii')}", None) if isinstance(found, Callee) else None
        arguments = self.unserialize(args)
        if method is None or not isinstance(arguments, tuple) or len(arguments) != _arity(method.__func__):
            raise ProtocolViolation("a call of something else than ours")
        if kwargs != [b"dictionary"]:
            raise ProtocolViolation("arguments with names")
        return method, arguments

    def _answer(self, answer: Expression, request: int, wanted: object) -> None:
        if wanted and not self.disconnected:
            self.sendCall(b"answer", request, answer)

    def _failed(self, failure: Failure, request: int, wanted: object) -> None:
        words = "Something went wrong on the other side; its log says what."
        if isinstance(failure.value, DpipError):
            words = failure.value.detail
        else:
            self.log.failure("A call of {peer} failed", failure, peer=self.peer)
        if wanted and not self.disconnected:
            self.sendCall(b"error", request, words.encode(errors="replace")[:_SENTENCE])

    # Answers to our calls; some come after their timeout

    def proto_answer(self, requestID: Any, netResult: Any) -> None:
        result = self.unserialize(netResult)
        waiting = self.waitingForAnswers.pop(requestID, None)
        if waiting is not None:
            waiting.callback(result)
        else:
            self._not_asked()

    def proto_error(self, requestID: Any, fail: Any) -> None:
        words = fail[:_SENTENCE].decode(errors="replace")
        waiting = self.waitingForAnswers.pop(requestID, None)
        if waiting is not None:
            waiting.errback(CallRefused(words))
        else:
            self._not_asked()

    def _not_asked(self) -> None:
        """Count an answer to no call, or to one whose time is over. Raises ProtocolViolation."""
        self._unasked += 1
        if self._unasked > MAX_UNASKED:
            raise ProtocolViolation("answers to what was not asked")

    def _cancel_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()


@cache
def _arity(method: Callable[..., object]) -> int:
    return len(signature(method).parameters) - 1


def call(
    reference: pb.RemoteReference, name: str, *arguments: object, clock: IReactorTime, timeout: float
) -> Deferred[Any]:
    """Call a peer's method, and return its answer.

    Raises, in the Deferred only, CallRefused if the peer answers with an error, LinkLost if there is no
    connection (any more), CallTimeout if there is no answer in ``timeout`` seconds.
    """
    try:
        answer: Deferred[Any] = reference.callRemote(name, *arguments)
    except (pb.DeadReferenceError, BananaError) as error:
        return fail(LinkLost(str(error)))
    answer.addErrback(_as_link_lost)
    return answer.addTimeout(timeout, clock, _as_no_answer)


def _as_link_lost(failure: Failure) -> None:
    if failure.check(pb.PBConnectionLost):
        raise LinkLost("The connection was lost before the answer came.") from None
    failure.raiseException()


def _as_no_answer(result: object, seconds: float) -> object:
    if isinstance(result, Failure) and result.check(CancelledError):
        raise CallTimeout(f"No answer within {seconds:g} s.") from None
    return result


def notify(reference: pb.RemoteReference, name: str, *arguments: object) -> None:
    """Call a peer's method that is not answered. Nothing happens when the connection is gone."""
    if not reference.broker.disconnected:
        reference.callRemote(name, *arguments, pbanswer=False)


class _RejectedConnection(Protocol):
    transport: Any

    def connectionMade(self) -> None:
        self.transport.abortConnection()


class LinkServerFactory(BrokerFactory):
    """The controller's side: makes a broker for each connection, unless too many have not joined yet.

    ``root(broker)`` gives the object that a peer may call first.
    """

    log = Logger()

    def __init__(self, root: Callable[[Broker], Callee], clock: IReactorTime) -> None:
        self._root = root
        self._clock = clock
        self.log_line = LimitedLog(self.log, clock)
        self._open: dict[Broker, None] = {}  # in the order of their connections
        self._unjoined: dict[Broker, str] = {}
        self._addresses: Counter[str] = Counter()
        self._new = Allowances(clock.seconds, CONNECTIONS_AT_ONCE, CONNECTIONS_EACH_SECOND)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        host = getattr(addr, "host", "")
        if len(self._unjoined) >= MAX_UNJOINED or self._addresses[host] >= MAX_UNJOINED_PER_ADDRESS:
            self.log_line(f"Connection from {host} turned away: too many there have not joined yet.")
            return _RejectedConnection()
        if not self._new.is_left(host):
            self.log_line(f"Connection from {host} turned away: too many have come from there just now.")
            return _RejectedConnection()
        broker = Broker(self, False, self._clock, self.log_line)
        broker.setNameForLocal("root", self._root(broker))
        self._open[broker] = None
        self._unjoined[broker] = host
        self._addresses[host] += 1
        return broker

    def close(self, reason: str) -> None:
        """Drop every connection."""
        for broker in list(self._open):
            broker.drop(reason)

    def settled(self, broker: Broker, lost: Failure | None) -> None:
        if lost is not None:
            self._open.pop(broker, None)
        host = self._unjoined.pop(broker, None)
        if host is not None:
            self._addresses[host] -= 1
            if not self._addresses[host]:
                del self._addresses[host]


class LinkClientFactory(BrokerFactory):
    """The other side: one connection at a time to a controller that TLS has proved to be the right one."""

    log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        made: Callable[[Broker], object],
        lost: Callable[[Broker, Failure], object],
    ) -> None:
        self._clock, self._made, self._lost = clock, made, lost
        self._log_line = LimitedLog(self.log, clock)

    def buildProtocol(self, addr: IAddress | None) -> Protocol:
        return Broker(self, True, self._clock, self._log_line)

    def clientConnectionMade(self, broker: Broker) -> None:
        self._made(broker)

    def settled(self, broker: Broker, lost: Failure | None) -> None:
        if lost is not None:
            self._lost(broker, lost)

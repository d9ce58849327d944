"""Webhooks: a signed POST tells that a sealed workload has completed, and is repeated until it is accepted.

The datastore knows which are due, so a restart loses none; a call may come twice, with the same
``DPIP-Delivery``. Only hosts that the operator names are called, and no redirect is followed: otherwise a
user could make the server send requests to hosts that only the server can reach.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Final
from urllib.parse import urlsplit

from attrs import define, field, frozen
from treq.client import HTTPClient
from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import Protocol
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.web.client import Agent, HTTPConnectionPool

from dpip import __version__
from dpip.api.views import timestamp
from dpip.errors import BadParameter, DpipError
from dpip.interfaces import IDatastore
from dpip.model import Delivery, DueWebhook
from dpip.runtime.coroutines import deferred

LOOK_SECONDS: Final = 1.0
ANSWER_SECONDS: Final = 10.0
ATTEMPTS: Final = 12
"""The pauses between them begin with 5 s and double up to an hour: about 2.4 hours in all."""
_FIRST_PAUSE, _LONGEST_PAUSE = 5.0, 3600.0
_AT_ONCE = 8
_PORTS = {"http": 80, "https": 443}
_Headers = dict[str | bytes, str | bytes]  # as treq has it


@frozen
class AllowedHosts:
    """The hosts that may be called: ``host`` allows its usual ports, ``host:port`` that port."""

    hosts: frozenset[str] = frozenset()

    def check(self, url: str) -> None:
        """Raises BadParameter for a URL that may not be called."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _refused(f"{url[:100]!r} is not a URL.") from None
        if parts.scheme not in _PORTS or not parts.hostname or parts.username is not None:
            raise _refused("A webhook's url begins with http:// or https://, and holds no password.")
        if not url.isascii() or any(character <= " " for character in url):
            raise _refused("A webhook's url is printable ASCII without spaces.")
        usual = port in (None, _PORTS[parts.scheme])
        named = {f"{parts.hostname}:{port or _PORTS[parts.scheme]}", *([parts.hostname] if usual else [])}
        if not named & self.hosts:
            known = ", ".join(sorted(self.hosts)) or "none"
            raise _refused(
                f"This server calls no webhooks at {parts.netloc[:100]}. Its operator allows: {known} "
                "(--webhook-hosts)."
            )


def _refused(words: str) -> BadParameter:
    return BadParameter(words, parameter="webhook")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """The value of ``DPIP-Signature``: HMAC-SHA256 over the timestamp, a dot, and the body."""
    signed = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256)
    return f"sha256={signed.hexdigest()}"


@define(eq=False)
class WebhookPoster:
    """Sends POST requests, each on a connection of its own."""

    clock: IReactorTime
    http: HTTPClient

    @classmethod
    def of(cls, reactor: IReactorTime) -> WebhookPoster:
        pool = HTTPConnectionPool(reactor, persistent=False)
        return cls(reactor, HTTPClient(Agent(reactor, connectTimeout=ANSWER_SECONDS, pool=pool)))

    @deferred
    async def post(self, url: str, headers: _Headers, body: bytes) -> int:
        """The status of the answer. Raises whatever Twisted raises when there is none in time."""
        sent = self.http.post(url, headers=headers, data=body, allow_redirects=False, unbuffered=True)
        response = await sent.addTimeout(ANSWER_SECONDS, self.clock)
        response.deliverBody(_Unread())
        return int(response.code)


class _Unread(Protocol):
    """Closes the connection: the body of the answer does not matter, and may be endless."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.loseConnection()


@define(eq=False, slots=False)
class Webhooks(Service):
    """Looks for webhooks that are due, every second while any may become so; ``wake`` says that some may."""

    log = Logger()

    datastore: IDatastore
    reactor: IReactorTime
    clock: Callable[[], float]
    post: Callable[[str, _Headers, bytes], Deferred[int]]
    allowed: AllowedHosts
    _under_way: dict[str, None] = field(factory=dict, init=False)
    _woken: bool = field(default=False, init=False)
    _loop: LoopingCall = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._loop = LoopingCall(self._look)
        self._loop.clock = self.reactor

    def startService(self) -> None:
        super().startService()
        self.wake()

    def stopService(self) -> None:
        """Stop; calls under way are made again after the next start."""
        super().stopService()
        if self._loop.running:
            self._loop.stop()

    def wake(self) -> None:
        self._woken = True
        if self.running and not self._loop.running:
            looking = self._loop.start(LOOK_SECONDS)
            looking.addErrback(lambda failure: self.log.failure("Webhooks are not called any more", failure))

    @deferred
    async def _look(self) -> None:
        self._woken = False
        try:
            found, pending = await self.datastore.webhooks_due(self.clock(), _AT_ONCE)
        except DpipError as error:
            self.log.warn("Webhooks wait: {why}", why=error.detail)
            return
        if not self.running:
            return
        for due in found:
            if due.workload.id not in self._under_way and len(self._under_way) < _AT_ONCE:
                self._under_way[due.workload.id] = None
                self._call_webhook(due).addErrback(
                    lambda f: self.log.failure("A webhook could not be recorded", f)
                )
        if not pending and not self._woken:
            self._loop.stop()

    @deferred
    async def _call_webhook(self, due: DueWebhook) -> None:
        try:
            delivery = await self._attempt(due)
            good = delivery.status is not None and 200 <= delivery.status < 300
            over = good or delivery.attempt >= ATTEMPTS
            pause = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2**due.attempts)
            self.log.info(
                "Webhook of workload {workload}: attempt {attempt}, {answer}",
                workload=due.workload.id,
                attempt=delivery.attempt,
                answer=delivery.status or delivery.error,
            )
            finished = due.workload.finished_at
            assert finished is not None
            await self.datastore.webhook_delivered(
                due.workload.id, delivery, None if over else delivery.at + pause, finished
            )
        finally:
            del self._under_way[due.workload.id]

    async def _attempt(self, due: DueWebhook) -> Delivery:
        now, body, attempt = self.clock(), _body(due), due.attempts + 1
        timestamp = str(int(now))
        headers: _Headers = {
            "Content-Type": "application/json",
            "User-Agent": f"DPIP/{__version__}",
            "DPIP-Delivery": f"{due.workload.id}-{int((due.workload.finished_at or 0) * 1000)}",
            "DPIP-Timestamp": timestamp,
            "DPIP-Signature": signature(due.webhook.secret, timestamp, body),
        }
        try:
            self.allowed.check(due.webhook.url)  # the operator may have changed it since
            status = await self.post(due.webhook.url, headers, body)
        except DpipError as error:
            return Delivery(now, attempt, None, error.detail)
        except Exception as error:  # noqa: BLE001 - whatever it was: there was no answer
            why = str(error)[:200] or type(error).__name__
            return Delivery(now, attempt, None, f"No answer: {why}")
        return Delivery(now, attempt, status)


def _body(due: DueWebhook) -> bytes:
    workload = due.workload
    return json.dumps(
        {
            "event": "workload.completed",
            "workload_id": workload.id,
            "workload_name": workload.spec.name,
            "accepted": workload.accepted,
            "filtered": workload.filtered,
            "failed": workload.failed,
            "finished_at": None if workload.finished_at is None else timestamp(workload.finished_at),
        }
    ).encode()

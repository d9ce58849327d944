"""The API processes that have joined: they ask the controller, and are told when tokens die.

See ``dpip.api_process`` for their side.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from ipaddress import ip_address
from typing import Any, Final

from attrs import define, field, frozen
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.spread.pb import RemoteReference

from dpip.controller.joining import refusal
from dpip.errors import DpipError, VersionMismatch
from dpip.interfaces import IController, IIncomingFile
from dpip.link import api_messages, codec
from dpip.link.api_messages import CALLS, ApiHello, ApiRefusal, ApiWelcome, RemoteMethod
from dpip.link.broker import MESSAGE_BYTES, Broker
from dpip.link.exchange import Exchange
from dpip.link.join_token import BadToken
from dpip.runtime.coroutines import deferred
from dpip.store.admission import AdmissionControl, Promises

FORGET_SECONDS: Final = 3.0
"""An API process that has not forgotten a dead token within this time is dropped: then it trusts none."""
GRACE_SECONDS: Final = 10.0
"""The workers that use a lost API process are sent elsewhere when it has not come back within this time."""


@frozen
class ApiTerms:
    """What API processes are told, and what is asked of them."""

    version: str
    filters: Mapping[str, str]
    max_upload: int
    max_in_flight: int
    disk_floor: int
    identity_for: Callable[[tuple[str, ...]], str]


@frozen
class _Place:
    """Where an API process serves: at ``url``, or at a port of ``host``, where None is this machine."""

    url: str | None
    scheme: str
    host: str | None
    port: int

    def seen_from(self, here: str) -> str:
        """The URL for a worker that reaches this machine as ``here``."""
        host = here if self.host is None else f"[{self.host}]" if ":" in self.host else self.host
        return self.url or f"{self.scheme}://{host}:{self.port}"


@define(eq=False)
class _ApiLink:
    """One joined API process. ``place`` is where workers reach it; one that shares our socket has none."""

    broker: Broker
    exchange: Exchange
    mark: IIncomingFile
    shares_socket: bool
    place: _Place | None = None
    promised: Promises = field(factory=dict)


@define(eq=False)
class ApiProcesses:
    """``admit(secret)`` raises BadToken unless it is the API token's. ``put_mark(text)`` leaves a file with
    that text among the store's incoming ones. ``moved(url)`` is called when workers that use that address
    have to use another. ``admission`` admits this process's own uploads. ``calls`` are the methods of
    ``controller`` that may be asked for. ``serving`` fires when the first API process answers requests.
    ``check_leading`` ends this process when another one may lead. Tokens are not forgotten before
    ``forgotten_after`` seconds: until then API processes of an earlier leader may trust one.
    """

    log = Logger()

    admit: Callable[[bytes], object]
    controller: IController
    put_mark: Callable[[str], tuple[str, IIncomingFile]]
    new_nonce: Callable[[], str]
    terms: ApiTerms
    admission: AdmissionControl
    clock: IReactorTime
    moved: Callable[[str], object]
    calls: Mapping[str, RemoteMethod] = CALLS
    check_leading: Callable[[], object] = field(default=lambda: None)
    forgotten_after: float = 0.0
    serving: Deferred[None] = field(factory=Deferred, init=False)
    _joined: dict[Broker, _ApiLink] = field(factory=dict, init=False)
    _turn: int = field(default=0, init=False)
    _given: dict[_Place, set[str]] = field(factory=dict, init=False)  # addresses that workers were told
    _moves: set[IDelayedCall] = field(factory=set, init=False)
    _stopped: bool = field(default=False, init=False)
    _others_trust_until: float = field(default=0.0, init=False)

    def __attrs_post_init__(self) -> None:
        self._others_trust_until = self.clock.seconds() + self.forgotten_after
        self.admission.announce = lambda _: self._share()

    # Joining

    def join(
        self, broker: Broker, secret: bytes, hello: object, peer: RemoteReference
    ) -> tuple[bytes, Exchange | None]:
        """Answer with a welcome and our end of the exchange, or with a refusal."""
        try:
            newcomer = self._examined(secret, hello)
            nonce = self.new_nonce()
            proof, mark = self.put_mark(nonce)
        except (DpipError, BadToken) as error:
            self.log.info("API process at {peer} may not join: {why}", peer=broker.peer, why=str(error))
            broker.part()
            refused = refusal(error)
            return codec.encode(ApiRefusal(refused.reason, refused.retry)), None
        exchange = Exchange(self.clock, lambda name, arguments: self._answer(api, name, arguments))
        api = self._joined[broker] = _ApiLink(broker, exchange, mark, newcomer.shares_socket)
        broker.on_lost(lambda: self._lost(broker))
        broker.trust(MESSAGE_BYTES)
        exchange.start(broker, peer)
        self._share()
        return codec.encode(self._welcome(newcomer, proof, nonce)), exchange

    def _examined(self, secret: bytes, data: object) -> ApiHello:
        """Raises BadToken, VersionMismatch, Malformed."""
        self.admit(secret)
        if codec.protocol_of(data) != api_messages.PROTOCOL:
            raise VersionMismatch(
                f"It speaks another protocol: install DPIP {self.terms.version} there, too."
            )
        hello = codec.decode(data, ApiHello)
        if hello.version != self.terms.version or hello.filters != self.terms.filters:
            raise VersionMismatch(
                f"It is DPIP {hello.version} with {len(hello.filters)} filters, the controller "
                f"{self.terms.version} with {len(self.terms.filters)}: install the same version and the same "
                "filters on both."
            )
        return hello

    def _welcome(self, hello: ApiHello, proof: str, nonce: str) -> ApiWelcome:
        terms = self.terms
        return ApiWelcome(
            proof=proof,
            nonce=nonce,
            max_pixels=self.controller.max_pixels,
            max_upload=terms.max_upload,
            max_in_flight=terms.max_in_flight,
            disk_floor=terms.disk_floor,
            identity=terms.identity_for(hello.hosts) if hello.wants_identity else None,
        )

    # What API processes ask and tell

    def _answer(self, api: _ApiLink, name: str, arguments: list[Any]) -> Any:
        self.check_leading()
        if name == "serving":
            return self._serving(api, *arguments)
        if name == "promised":
            return self._promised(api, *arguments)
        call = self.calls[name]
        method = getattr(self.controller, name)
        answer: Deferred[Any] = method(*api_messages.arguments_of(call, arguments))
        return answer.addCallback(api_messages.plain, call.result)

    def _serving(self, api: _ApiLink, url: str | None, scheme: str, port: int) -> None:
        self.log.info("API process {peer} has joined", peer=api.broker.peer)
        api.mark.abandon()  # it has been found
        if not api.shares_socket and (url or port):
            host = getattr(api.broker.transport.getPeer(), "host", "127.0.0.1")
            api.place = _Place(url, scheme, None if ip_address(host).is_loopback else host, port)
        if not self.serving.called:
            self.serving.callback(None)

    def _promised(self, api: _ApiLink, promised: Promises) -> None:
        api.promised = promised
        self._share()

    def _share(self) -> None:
        """Tell each process how many bytes of the disk the others have promised, and to whom."""
        total = Counter(self.admission.promised)
        for api in self._joined.values():
            total.update(api.promised)
        self.admission.told_of_others(total - Counter(self.admission.promised))
        for api in self._joined.values():
            api.exchange.notify("elsewhere", total - Counter(api.promised))

    # What API processes are asked

    @deferred
    async def forget_tokens(self, user: str) -> None:
        """Have every API process forget the tokens of a user or worker.

        Once this fires none accepts one that has died.
        """
        await DeferredList([self._forget(api, user) for api in self._joined.values()])
        if (left := self._others_trust_until - self.clock.seconds()) > 0:
            await deferLater(self.clock, left)

    @deferred
    async def _forget(self, api: _ApiLink, user: str) -> None:
        try:
            await api.exchange.ask("forget_tokens", user).addTimeout(FORGET_SECONDS, self.clock)
        except Exception:  # noqa: BLE001 - whatever it is, a process without a link trusts no token
            api.broker.drop("it has not said that it forgets dead tokens")

    # The addresses that workers use

    def url(self, here: str) -> str | None:
        """The URL of an API process, each in turn, for a worker that reaches this machine as ``here``.

        None while there is only this process's own address.
        """
        places = list(dict.fromkeys(api.place for api in self._joined.values() if api.place))
        if not places:
            return None
        self._turn += 1
        place = places[self._turn % len(places)]
        url = place.seen_from(here)
        self._given.setdefault(place, set()).add(url)
        return url

    def _lost(self, broker: Broker) -> None:
        api = self._joined.pop(broker, None)
        if api is None:
            return
        api.exchange.stop()
        api.mark.abandon()
        self.log.info("API process {peer} is gone", peer=broker.peer)
        self._share()
        if api.place is not None and not self._stopped:
            self._moves = {move for move in self._moves if move.active()}
            self._moves.add(self.clock.callLater(GRACE_SECONDS, self._move, api.place))

    def stop(self) -> None:
        """Send no workers elsewhere when the links are dropped."""
        self._stopped = True
        for move in self._moves:
            if move.active():
                move.cancel()

    def _move(self, place: _Place) -> None:
        if place not in {api.place for api in self._joined.values()}:
            for url in self._given.pop(place, ()):
                self.moved(url)

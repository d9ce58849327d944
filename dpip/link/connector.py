"""How a process reaches the controller: its address, and the join token, which is read for every attempt.

A worker that has a certificate presents that instead, and needs no token while the certificate is valid.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import HostnameEndpoint, clientFromString, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.link.certificates import Credential, Key, Pinned
from dpip.link.join_token import TOKEN_FILE, BadToken, JoinToken

_PORT: Final = 8787
_ADDRESS: Final = re.compile(r"(\[[0-9a-fA-F:.%\w]+\]|[\w.-]+)(?::(\d{1,5}))?")
_ENDPOINTS: Final = ("tcp:", "unix:")
Secured = Callable[[IOpenSSLClientConnectionCreator, IStreamClientEndpoint], IStreamClientEndpoint]
"""Puts TLS around an endpoint."""


def controller_address(text: str) -> str:
    """Check an option's value, the controller's address, or those of several controllers, of which one leads;
    see ``controller_endpoint``. Raises ValueError."""
    if "," in text and not text.startswith(_ENDPOINTS):
        return ",".join(controller_address(each.strip()) for each in text.split(","))
    match = _ADDRESS.fullmatch(text)
    if not text.startswith(_ENDPOINTS) and (match is None or int(match[2] or 0) > 65535):
        raise ValueError(f"{text!r} is neither host:port nor an endpoint string such as tcp:host:8787")
    return text


def controller_endpoint(reactor: Any, address: str) -> IStreamClientEndpoint:
    """Make the endpoint of an address: ``host``, ``host:port``, ``[v6]:port``, several of these with commas
    between them, or an endpoint string such as ``unix:/run/dpip``."""
    if "," in address and not address.startswith(_ENDPOINTS):
        return InTurn([controller_endpoint(reactor, each) for each in address.split(",")])
    match = _ADDRESS.fullmatch(address)
    if match is None:
        endpoint: IStreamClientEndpoint = clientFromString(reactor, address)
        return endpoint
    return HostnameEndpoint(reactor, match[1].strip("[]"), int(match[2] or _PORT))


@implementer(IStreamClientEndpoint)
@define(eq=False)
class InTurn:
    """Several addresses, of which one answers: each attempt begins with another one and tries all of them.

    One that takes the connection may not be able to do more: hence another one is first the next time.
    """

    endpoints: list[IStreamClientEndpoint]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        self.endpoints.append(self.endpoints.pop(0))
        return Deferred.fromCoroutine(self._connect(list(self.endpoints), protocolFactory))

    async def _connect(self, endpoints: list[IStreamClientEndpoint], factory: IProtocolFactory) -> IProtocol:
        *others, last = endpoints
        for endpoint in others:
            try:
                return await endpoint.connect(factory)
            except ConnectError:
                """The next one may answer."""
        return await last.connect(factory)


class NoToken(Exception):
    """There is no join token (yet); says where it is looked for."""


def token_reader(
    file: Path | None, environment: Mapping[str, str], state_dir: Path, name: str = TOKEN_FILE
) -> Callable[[], JoinToken]:
    """Return a function that reads the token, or raises NoToken.

    It reads ``file`` if given, else ``DPIP_JOIN_TOKEN``, else the file of a controller on this machine.
    ``name`` is ``join-token`` or ``api-token``; the variable's and the file's name follow from it.
    """
    variable = f"DPIP_{name.upper().replace('-', '_')}"
    text = None if file else environment.get(variable)
    path, kind = file or state_dir / name, name.replace("-", " ")

    def read() -> JoinToken:
        try:
            return JoinToken.parse(text or path.read_text(encoding="ascii"))
        except FileNotFoundError:
            raise NoToken(
                f"There is no {kind} at {path} yet. A controller on this machine puts it there; from one "
                f"elsewhere copy it, and name the file with --{name}-file, or set {variable}."
            ) from None
        except (OSError, UnicodeDecodeError, BadToken) as error:
            source = variable if text else path
            raise NoToken(f"The {kind} cannot be read from {source}: {error}") from None

    return read


@implementer(IStreamClientEndpoint)
@define(eq=False, repr=False)
class Connector:
    """Connects to ``address`` with TLS, to the controller that the join token names and to no other.

    A ``credential`` is presented while it is valid, unless there is a token of another controller. ``secret``
    is that of the token by which the present connection was made, empty when a credential was presented.
    ``on_failure`` is called with the reason when there is no connection.
    """

    address: IStreamClientEndpoint
    read_token: Callable[[], JoinToken]
    clock: IReactorTime
    secured: Secured = wrapClientTLS
    credential: Credential | None = None
    on_failure: Callable[[str], object] = field(default=lambda _: None, init=False)
    secret: bytes = field(default=b"", init=False)
    _pin: str = field(default="", init=False)  # of the controller to which the present connection goes

    def __repr__(self) -> str:
        return "the controller"

    @property
    def newly_certified(self) -> bool:
        """Whether a certificate has come by the present connection: the next one is to present it."""
        return bool(self.secret) and self.credential is not None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            pinned = self._pinned()
        except NoToken as why:
            self.on_failure(str(why))
            return fail(why)
        connecting = self.secured(pinned, self.address).connect(protocolFactory)
        return connecting.addErrback(self._not_connected)

    def certified(self, key: Key, certificate: str, seconds: float) -> None:
        """Keep the certificate for this key that the connected controller has given."""
        now = self.clock.seconds()
        self.credential = Credential(self._pin, key, certificate, now + seconds / 2, now + seconds)

    def _pinned(self) -> Pinned:
        """Raises NoToken."""
        self.secret = b""
        if self.credential is None or self._is_over(self.credential):
            token = self.read_token()
            self.credential = None
            self._pin, self.secret = token.pin, token.secret.encode()
        else:
            self._pin = self.credential.pin
        return Pinned(self._pin, self.credential)

    def _is_over(self, credential: Credential) -> bool:
        """Say whether it has expired, or there is a token of another authority, as after new keys."""
        try:
            return self.clock.seconds() >= credential.until or self.read_token().pin != credential.pin
        except NoToken:  # none is needed
            return False

    def _not_connected(self, failure: Failure) -> Failure:
        self.on_failure(f"The controller cannot be reached: {failure.getErrorMessage()}")
        return failure

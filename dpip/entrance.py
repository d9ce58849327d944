"""The way in: the controller's address, and the join token, read anew for every attempt.

Who has a credential shows that one instead, and needs the token no more while it lasts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.authority import Credential, Key, Pinned
from dpip.jointoken import TOKEN_FILE, BadToken, JoinToken

Secured = Callable[[IOpenSSLClientConnectionCreator, IStreamClientEndpoint], IStreamClientEndpoint]
"""Puts TLS around an endpoint."""


class NoToken(Exception):
    """There is no join token (yet), in a sentence."""


def token_reader(
    file: Path | None, environment: Mapping[str, str], state_dir: Path, name: str = TOKEN_FILE
) -> Callable[[], JoinToken]:
    """From ``file`` if given, else from ``DPIP_JOIN_TOKEN``, else where a controller on this machine puts it.

    What is returned raises NoToken. ``name`` is ``join-token`` or ``api-token``, and the others follow it.
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
class Entrance:
    """Connects to ``address`` with TLS, to nobody but the controller that the join token names.

    ``waiting`` is called with the reason when there was no connection. A ``credential`` is shown while it is
    good, and while no token of another controller has come.
    """

    def __init__(
        self,
        address: IStreamClientEndpoint,
        read_token: Callable[[], JoinToken],
        waiting: Callable[[str], object],
        clock: IReactorTime,
        secured: Secured = wrapClientTLS,
        credential: Credential | None = None,
    ) -> None:
        self.secret = b""
        """Of the token by which the present connection was made; none when a credential was shown."""
        self.credential = credential
        self._pin = ""
        self._clock = clock
        self._address = address
        self._read_token = read_token
        self._waiting = waiting
        self._secured = secured

    def __repr__(self) -> str:
        return "the controller"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            pinned = self._pinned()
        except NoToken as why:
            self._waiting(str(why))
            return fail(why)
        connecting = self._secured(pinned, self._address).connect(protocolFactory)
        return connecting.addErrback(self._not_connected)

    def _pinned(self) -> Pinned:
        """Raises NoToken."""
        credential, self.secret = self.credential, b""
        if credential is None or self._clock.seconds() >= credential.until:
            return self._by_token(self._read_token())
        try:
            token = self._read_token()
        except NoToken:  # it is not needed
            return Pinned(credential.pin, credential)
        if token.pin != credential.pin:  # another authority: the controller's keys were made anew
            return self._by_token(token)
        return Pinned(credential.pin, credential)

    def _by_token(self, token: JoinToken) -> Pinned:
        self.credential = None
        self._pin, self.secret = token.pin, token.secret.encode()
        return Pinned(token.pin)

    def certified(self, key: Key, certificate: str, seconds: float) -> None:
        """The controller to which we are connected has given a certificate for this key."""
        pin = self.credential.pin if self.credential is not None else self._pin
        now = self._clock.seconds()
        self.credential = Credential(pin, key, certificate, now + seconds / 2, now + seconds)

    def _not_connected(self, failure: Failure) -> Failure:
        self._waiting(f"The controller cannot be reached: {failure.getErrorMessage()}")
        return failure

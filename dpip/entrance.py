"""The way in: the controller's address, and the join token, read anew for every attempt."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from twisted.internet.defer import Deferred, fail
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import (
    IOpenSSLClientConnectionCreator,
    IProtocol,
    IProtocolFactory,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from dpip.authority import TOKEN_FILE, BadToken, JoinToken, Pinned

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

    ``waiting`` is called with the reason when there was no connection.
    """

    def __init__(
        self,
        address: IStreamClientEndpoint,
        read_token: Callable[[], JoinToken],
        waiting: Callable[[str], object],
        secured: Secured = wrapClientTLS,
    ) -> None:
        self.secret = b""
        """Of the token by which the present connection was made."""
        self._address = address
        self._read_token = read_token
        self._waiting = waiting
        self._secured = secured

    def __repr__(self) -> str:
        return "the controller"

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        try:
            token = self._read_token()
        except NoToken as why:
            self._waiting(str(why))
            return fail(why)
        self.secret = token.secret.encode()
        connecting = self._secured(Pinned(token.pin), self._address).connect(protocolFactory)
        return connecting.addErrback(self._not_connected)

    def _not_connected(self, failure: Failure) -> Failure:
        self._waiting(f"The controller cannot be reached: {failure.getErrorMessage()}")
        return failure

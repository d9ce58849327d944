"""The way to the API: one endpoint, one token, for one joining."""

from __future__ import annotations

from typing import Any, Final

from attrs import field, frozen
from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS

from dpip.errors import Malformed
from dpip.http.server_address import ServerAddress
from dpip.link.certificates import Pinned, fingerprint_of_pem

_CONNECT_SECONDS: Final = 10


@frozen
class Store:
    """Where the API is. ``authority`` is the PEM of what signed its certificate, None for the public ones."""

    url: str
    token: str = field(repr=False)
    authority: str | None

    def endpoint(self, reactor: Any) -> IStreamClientEndpoint:
        """Raises Malformed: no such address can be used."""
        try:
            address = ServerAddress.parse(self.url)
            plain = address.endpoint(reactor, _CONNECT_SECONDS)
            if not address.secure:
                return plain
            if self.authority is None:
                return wrapClientTLS(optionsForClientTLS(address.host), plain)
            return wrapClientTLS(Pinned(fingerprint_of_pem(self.authority)), plain)
        except ValueError as error:
            raise Malformed(f"The API's address {self.url!r} cannot be used: {error}") from None

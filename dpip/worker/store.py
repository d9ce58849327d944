"""The way to the API: one endpoint, one token, one pool of connections, for one joining."""

from __future__ import annotations

from typing import Any, Final
from urllib.parse import urlsplit

from attrs import field, frozen
from treq.client import HTTPClient
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.web.client import HTTPConnectionPool

from dpip.authority import Pinned, fingerprint_of_pem
from dpip.errors import Malformed
from dpip.http import client_of

_IDLE_SECONDS: Final = 20
"""A connection idle for longer is closed: before the API does, which would cost a retry."""
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
            parts = urlsplit(self.url)
            host, port = parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)
            if parts.scheme not in ("http", "https") or not host:
                raise ValueError("http://host:port or https://host:port is expected")
            plain = HostnameEndpoint(reactor, host, port, timeout=_CONNECT_SECONDS)
            if parts.scheme == "http":
                return plain
            if self.authority is None:
                return wrapClientTLS(optionsForClientTLS(host), plain)
            return wrapClientTLS(Pinned(fingerprint_of_pem(self.authority)), plain)
        except ValueError as error:
            raise Malformed(f"The API's address {self.url!r} cannot be used: {error}.") from None


def client_for(store: Store, reactor: Any, connections: int) -> tuple[HTTPClient, HTTPConnectionPool]:
    """treq's client over kept-alive connections to the store, and the pool to close in the end."""
    return client_of(store.endpoint(reactor), reactor, connections, _IDLE_SECONDS)

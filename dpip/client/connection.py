"""The client's connections to its server, and the certificates that it trusts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from twisted.internet.endpoints import wrapClientTLS
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates

from dpip.http.agent import PersistentClient
from dpip.http.server_address import ServerAddress

_CONNECT_SECONDS = 15
_IDLE_SECONDS = 30


def connect(
    reactor: Any, address: ServerAddress, connections: int, authority: Path | None
) -> PersistentClient:
    """Make an HTTP client for one server; ``authority`` is a PEM file of certificates to trust instead of
    the system's."""
    endpoint = address.endpoint(reactor, _CONNECT_SECONDS)
    if address.secure:
        trust = platformTrust() if authority is None else trustRootFromCertificates(_certificates(authority))
        endpoint = wrapClientTLS(optionsForClientTLS(address.host, trust), endpoint)
    return PersistentClient(endpoint, reactor, connections, _IDLE_SECONDS)


def _certificates(path: Path) -> list[Certificate]:
    end = b"-----END CERTIFICATE-----"
    return [Certificate.loadPEM(part + end) for part in path.read_bytes().split(end)[:-1]]

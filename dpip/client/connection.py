"""The way to one server: its address, its certificates, and connections that are used again."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import (
    HostnameEndpoint,
    TCP4ClientEndpoint,
    TCP6ClientEndpoint,
    wrapClientTLS,
)
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import Certificate, optionsForClientTLS, platformTrust, trustRootFromCertificates
from twisted.web.client import HTTPConnectionPool

from dpip.http import client_of

_CONNECT_SECONDS = 15
_IDLE_SECONDS = 30


@frozen
class Address:
    """Where a server is; ``url`` has no slash at its end."""

    url: str
    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, url: str) -> Address:
        """Raises ValueError when ``url`` is not the address of a web server."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _not_an_address(url) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise _not_an_address(url)
        secure = parts.scheme == "https"
        return cls(url.rstrip("/"), parts.hostname, port or (443 if secure else 80), secure)


def _not_an_address(url: str) -> ValueError:
    return ValueError(f"The address of a DPIP server looks like http://127.0.0.1:8080; {url!r} does not.")


def connect(
    reactor: Any, address: Address, connections: int, authority: Path | None
) -> tuple[HTTPClient, HTTPConnectionPool]:
    """A treq client for this server alone, keeping up to ``connections`` of them open.

    ``authority`` is a PEM file of certificates to trust instead of the system's.
    """
    return client_of(_endpoint(reactor, address, authority), reactor, connections, _IDLE_SECONDS)


def _endpoint(reactor: Any, address: Address, authority: Path | None) -> IStreamClientEndpoint:
    plain = _plain_endpoint(reactor, address.host, address.port)
    if not address.secure:
        return plain
    trust = platformTrust() if authority is None else trustRootFromCertificates(_certificates(authority))
    return wrapClientTLS(optionsForClientTLS(address.host, trust), plain)


def _plain_endpoint(reactor: Any, host: str, port: int) -> IStreamClientEndpoint:
    """HostnameEndpoint tries several addresses in turn, and is slow to notice that the only one refuses."""
    if isIPAddress(host):
        return TCP4ClientEndpoint(reactor, host, port, timeout=_CONNECT_SECONDS)
    if isIPv6Address(host):
        return TCP6ClientEndpoint(reactor, host, port, timeout=_CONNECT_SECONDS)
    return HostnameEndpoint(reactor, host, port, timeout=_CONNECT_SECONDS)


def _certificates(path: Path) -> list[Certificate]:
    end = b"-----END CERTIFICATE-----"
    return [Certificate.loadPEM(part + end) for part in path.read_bytes().split(end)[:-1]]

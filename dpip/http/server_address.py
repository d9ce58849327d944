"""The address of a server, and its TCP endpoint."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from attrs import frozen
from twisted.internet.abstract import isIPAddress, isIPv6Address
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, TCP6ClientEndpoint
from twisted.internet.interfaces import IStreamClientEndpoint


@frozen
class ServerAddress:
    """Where a server is; ``url`` has no slash at its end."""

    url: str
    host: str
    port: int
    secure: bool

    @classmethod
    def parse(cls, url: str) -> ServerAddress:
        """Parse an address. Raises ValueError when ``url`` is not that of a web server."""
        try:
            parts = urlsplit(url)
            port = parts.port
        except ValueError:
            raise _not_an_address(url) from None
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise _not_an_address(url)
        secure = parts.scheme == "https"
        return cls(url.rstrip("/"), parts.hostname, port or (443 if secure else 80), secure)

    def endpoint(self, reactor: Any, timeout: float) -> IStreamClientEndpoint:
        """Return an endpoint without TLS, which connects within ``timeout`` seconds.

        HostnameEndpoint, which tries several addresses, is slow to notice that the only one refuses.
        """
        if isIPAddress(self.host):
            return TCP4ClientEndpoint(reactor, self.host, self.port, timeout=timeout)
        if isIPv6Address(self.host):
            return TCP6ClientEndpoint(reactor, self.host, self.port, timeout=timeout)
        return HostnameEndpoint(reactor, self.host, self.port, timeout=timeout)


def _not_an_address(url: str) -> ValueError:
    return ValueError(f"The address of a DPIP server looks like http://127.0.0.1:8080; {url!r} does not.")

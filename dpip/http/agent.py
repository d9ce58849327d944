"""treq over kept-alive connections to one server."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IBodyProducer, IResponse
from zope.interface import implementer

from dpip.runtime.transports import widen
from dpip.runtime.twisted_private import ClientRequest


@implementer(IStreamClientEndpoint)
@frozen
class _WideEndpoint:
    """The endpoint, for connections that carry pictures, and that are not logged."""

    endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocolFactory.noisy = False  # type: ignore[attr-defined]  # of every Factory
        return self.endpoint.connect(protocolFactory).addCallback(_widened)


def _widened(protocol: Any) -> Any:
    widen(protocol.transport)
    return protocol


@implementer(IAgent)
@frozen
class _OneServer:
    """Sends all requests to one endpoint, where Twisted's agent parses each URL to find it."""

    pool: HTTPConnectionPool
    endpoint: _WideEndpoint

    def request(
        self,
        method: bytes,
        uri: bytes,
        headers: Headers | None = None,
        bodyProducer: IBodyProducer | None = None,
    ) -> Deferred[IResponse]:
        origin, slash, path = uri.partition(b"//")[2].partition(b"/")
        headers = Headers() if headers is None else headers
        headers.setRawHeaders(b"Host", [origin.rpartition(b"@")[2]])
        request = ClientRequest(method, slash + path, headers, bodyProducer, persistent=True)

        def connected(connection: Any) -> Deferred[IResponse]:
            answer: Deferred[IResponse] = connection.request(request)
            return answer

        connection: Deferred[Any] = self.pool.getConnection("server", self.endpoint)
        return connection.addCallback(connected)


class PersistentClient(HTTPClient):
    """treq's client for one server, without what takes half of a request's time and our servers do not need:
    international names, cookies, redirects, compressed answers.

    It keeps up to ``connections`` open. ``idle_seconds`` must be less than the server's limit, so that a
    request seldom meets a connection that is just being closed. It never retries: callers know what may be.
    """

    def __init__(
        self, endpoint: IStreamClientEndpoint, reactor: Any, connections: int, idle_seconds: int
    ) -> None:
        self._reactor = reactor
        self._pool = HTTPConnectionPool(reactor)
        self._pool.maxPersistentPerHost = connections
        self._pool.cachedConnectionTimeout = idle_seconds
        self._pool.retryAutomatically = False
        self._server = _OneServer(self._pool, _WideEndpoint(endpoint))
        super().__init__(self._server)

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        data: IBodyProducer | None = None,
        params: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Deferred[Any]:
        """Return the response, its body not yet read. ``options`` are treq's, such as ``json``."""
        sent = Headers({name: [value] for name, value in headers.items()})
        if not params and "json" not in options:
            return self._server.request(method.encode(), url.encode("ascii"), sent, data)
        options |= {"allow_redirects": False, "unbuffered": True, "reactor": self._reactor}
        return super().request(method, url, headers=sent, data=data, params=params, **options)

    def close(self) -> Deferred[None]:
        """Close the idle connections."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

"""treq over kept-alive connections to one server, for the client and for workers."""

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

from dpip.runtime.twisted_private import ClientRequest
from dpip.transports import widen


@implementer(IStreamClientEndpoint)
@frozen
class _Way:
    """The endpoint, for connections that carry pictures, and without a line in the log for each of them."""

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
    """All requests go to one endpoint. Twisted's own agent takes every address apart to find out which."""

    pool: HTTPConnectionPool
    endpoint: _Way

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


class _Client(HTTPClient):
    """treq's client, less what takes it half a request's time and is never wanted of a server of ours:
    international names, cookies, redirects, compressed answers. What treq encodes goes treq's way."""

    def __init__(self, agent: IAgent) -> None:
        super().__init__(agent)
        self._server = agent

    def request(  # type: ignore[override]
        self,
        method: str,
        url: str,
        *,
        headers: Any = None,
        data: IBodyProducer | None = None,
        params: Mapping[str, str] | None = None,
        **options: Any,
    ) -> Deferred[Any]:
        if params or "json" in options:
            return super().request(method, url, headers=headers, data=data, params=params, **options)
        if not isinstance(headers, Headers):
            headers = Headers({name: [value] for name, value in (headers or {}).items()})
        return self._server.request(method.encode(), url.encode("ascii"), headers, data)


def client_of(
    endpoint: IStreamClientEndpoint, reactor: Any, connections: int, idle_seconds: int
) -> tuple[HTTPClient, HTTPConnectionPool]:
    """A client that keeps up to ``connections`` open, and the pool to close in the end.

    ``idle_seconds`` must be less than the server's own limit, so that a request seldom meets a connection
    that is just being closed. Nothing is tried again unseen: the callers know what may be repeated.
    """
    pool = HTTPConnectionPool(reactor)
    pool.maxPersistentPerHost = connections
    pool.cachedConnectionTimeout = idle_seconds
    pool.retryAutomatically = False
    return _Client(_OneServer(pool, _Way(endpoint))), pool

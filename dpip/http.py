"""treq over kept-alive connections to one server, for the client and for workers."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.web.client import URI, Agent, HTTPConnectionPool
from twisted.web.iweb import IAgentEndpointFactory
from zope.interface import implementer


@implementer(IStreamClientEndpoint, IAgentEndpointFactory)
@frozen
class _OneServer:
    """The same endpoint for every request: treq would redo IDNA and look the name up for each (200 µs).

    And no line in the log for every connection.
    """

    endpoint: IStreamClientEndpoint

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return self

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        protocolFactory.noisy = False  # type: ignore[attr-defined]  # of every Factory
        return self.endpoint.connect(protocolFactory)


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
    return HTTPClient(Agent.usingEndpointFactory(reactor, _OneServer(endpoint), pool)), pool

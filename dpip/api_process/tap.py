"""Builds an API process, for ``twistd dpip-api``."""

from __future__ import annotations

import os
import random
import socket
import time
from pathlib import Path
from typing import Any, ClassVar, Final, cast

from twisted.application.service import IService
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.protocol import Protocol
from twisted.internet.stdio import StandardIO
from twisted.protocols.tls import TLSMemoryBIOFactory
from twisted.python import usage
from twisted.python.failure import Failure

from dpip import __version__
from dpip.api.app import make_site
from dpip.api_process.remote_controller import RemoteController
from dpip.api_process.session import ApiSession
from dpip.filters import registry
from dpip.link.api_messages import PROTOCOL, ApiHello
from dpip.link.certificates import options_of, own_hosts
from dpip.link.connector import Connector, controller_address, controller_endpoint, token_reader
from dpip.link.join_token import API_TOKEN_FILE
from dpip.runtime.clock import keep_timers_going
from dpip.runtime.coroutines import deferred
from dpip.runtime.gc import tune_gc
from dpip.runtime.ids import IdSource
from dpip.runtime.logs import LOG_FORMAT_OPTION
from dpip.runtime.options import (
    TLS_NAMES_OPTION,
    ProcessOptions,
    address,
    certificate_hosts,
    check_openness,
    coerce_defaults,
    default_state_dir,
    name_process_files,
)
from dpip.runtime.startup import cannot_listen, end_process
from dpip.store.admission import AdmissionControl, RetryAfterQueue
from dpip.store.image_store import ImageStore

_MOST_HOSTS: Final = 64
"""Names in a certificate: a machine may have hundreds of addresses, and a hello has a bound."""


class ApiOptions(ProcessOptions):
    """The options of ``twistd dpip-api``."""

    process_name: ClassVar[str] = "dpip-api"

    synopsis = "[options]"
    longdesc = "The REST API of DPIP in a process of its own; the controller's part of it goes over a link."
    optParameters: ClassVar[list[list[Any]]] = [
        LOG_FORMAT_OPTION,
        [
            "controller",
            None,
            None,
            "The controller's port for workers: host or host:port [port: 8787].",
            controller_address,
        ],
        [
            "http",
            None,
            "127.0.0.1:8080",
            "Where the REST API listens: host:port or an endpoint string.",
            address,
        ],
        [
            "store",
            None,
            None,
            "The controller's image store, as mounted here [default: images in --state-dir].",
        ],
        ["state-dir", None, None, "Of a controller here [default: DPIP_STATE_DIR, or the user's]."],
        ["api-token-file", None, None, "Where the controller's API token is [default: DPIP_API_TOKEN]."],
        ["api-url", None, None, "This API as workers reach it [default: the host its link comes from]."],
        TLS_NAMES_OPTION,
        ["number", None, None, "Of several that a controller has started (its own use).", int],
        ["inherited-socket", None, None, "A descriptor that listens already (its own use).", int],
    ]
    optFlags: ClassVar[list[list[Any]]] = [
        ["log-requests", None, "Log uploads and requests that only read, too; there are many."],
        ["http-tls", None, "Serve the API with TLS, by a certificate of the controller's authority."],
        [
            "behind-proxy",
            None,
            "It listens beyond loopback without TLS: a proxy in front of it adds that.",
        ],
    ]

    def postOptions(self) -> None:
        coerce_defaults(self)
        if not self["controller"]:
            raise usage.UsageError("--controller host:port is needed: where is the controller?")
        if self["inherited-socket"] is None:
            check_openness(self)
        self["state-dir"] = Path(self["state-dir"] or default_state_dir()).absolute()
        self["store"] = Path(self["store"] or self["state-dir"] / "images").absolute()
        self["api-token-file"] = Path(self["api-token-file"]).absolute() if self["api-token-file"] else None
        name = "dpip-api" if self["number"] is None else f"dpip-api-{self['number']}"
        name_process_files(self, name)


Options = ApiOptions  # the name that twistd looks for


def makeService(options: ApiOptions) -> IService:
    """Return a service for twistd. It ends the process when it cannot start, or when its parent has ended."""
    from twisted.internet import reactor

    tune_gc()
    keep_timers_going(reactor)
    session = make_session(options, reactor)
    session.joined.addErrback(end_process, reactor)
    if options["inherited-socket"] is not None:
        StandardIO(_Parent(reactor), reactor=reactor)
    return session


def make_session(options: ApiOptions, reactor: Any) -> ApiSession:
    """Make an API process, which is not started."""
    image_store = ImageStore(options["store"], reactor, floor=0)
    controller = RemoteController(
        AdmissionControl(image_store.space, 0, 0, RetryAfterQueue(time.monotonic)), time.monotonic
    )
    ids = IdSource()
    site = make_site(
        controller,
        image_store,
        registry,
        ids,
        reactor,
        behind_proxy=options["behind-proxy"],
        quiet=not options["log-requests"],
    )
    read_token = token_reader(options["api-token-file"], os.environ, options["state-dir"], API_TOKEN_FILE)
    return ApiSession(
        connector=Connector(controller_endpoint(reactor, options["controller"]), read_token, reactor),
        hello=_hello(options),
        store=str(options["store"]),
        image_store=image_store,
        controller=controller,
        listen=lambda identity: _listen(options, reactor, site, identity),
        scheme="https" if options["http-tls"] or options["http"].tls else "http",
        url=options["api-url"],
        jitter=random.random,
    )


def _hello(options: ApiOptions) -> ApiHello:
    return ApiHello(
        protocol=PROTOCOL,
        version=__version__,
        filters=registry.versions(),
        hosts=_hosts(options),
        wants_identity=bool(options["http-tls"]),
        shares_socket=options["inherited-socket"] is not None,
    )


def _hosts(options: ApiOptions) -> tuple[str, ...]:
    """Return the names for the certificate of this process, if it is to have one."""
    if not options["http-tls"]:
        return ()
    return tuple(dict.fromkeys((*own_hosts(), *certificate_hosts(options))))[:_MOST_HOSTS]


@deferred
async def _listen(
    options: ApiOptions, reactor: Any, site: IProtocolFactory, identity: str | None
) -> IListeningPort:
    """Listen with the site, by TLS if there is an identity. Raises CannotStart."""
    factory = TLSMemoryBIOFactory(options_of(identity), False, site) if identity else site
    if options["inherited-socket"] is not None:
        return _adopted(reactor, options["inherited-socket"], factory)
    try:
        port: IListeningPort = await serverFromString(reactor, options["http"].endpoint).listen(factory)
    except CannotListenError as error:
        raise cannot_listen("http", error) from None
    return port


def _adopted(reactor: Any, descriptor: int, factory: IProtocolFactory) -> IListeningPort:
    """Listen on the descriptor; each turn accepts one connection, and leaves the next to idle processes."""
    with socket.socket(fileno=os.dup(descriptor)) as inherited:
        family = inherited.family
    port = reactor.adoptStreamPort(descriptor, family, factory)
    os.close(descriptor)
    port.numberAccepts = 1
    return cast(IListeningPort, port)


class _Parent(Protocol):
    """The controller at the other end of our standard input: when it ends, in whatever way, so do we."""

    def __init__(self, reactor: Any) -> None:
        self._reactor = reactor

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self._reactor.running:
            self._reactor.stop()

"""Where to listen: ``host:port``, or one of Twisted's endpoint strings."""

from __future__ import annotations

import re
from ipaddress import ip_address

from attrs import frozen
from twisted.internet.endpoints import quoteStringArgument

_HOST_PORT = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]*):)?(?P<port>\d{1,5})")
_KINDS = ("tcp", "tcp6", "ssl", "unix", "systemd")
_BACKLOG = 1024
"""Connections that may wait to be accepted. With Twisted's 50, more in a burst wait a second or longer."""
_INTERFACE = re.compile(r"(?:^|:)interface=((?:\\.|[^:\\])*)")


@frozen
class ListenAddress:
    """``endpoint`` is the server endpoint string; ``loopback`` whether only this machine can reach it."""

    endpoint: str
    loopback: bool
    tls: bool


def parse(text: str) -> ListenAddress:
    """Parse ``8080``, ``127.0.0.1:8080``, ``[::1]:8080``, ``:8080`` (every interface), or an endpoint string.

    A bare port means the loopback interface: opening a port to a network is always a deliberate choice.
    Raises ValueError if the text has neither form, or a port beyond 65535.
    """
    kind = text.partition(":")[0]
    if kind in _KINDS:
        return _endpoint(kind, text)
    match = _HOST_PORT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is neither host:port nor an endpoint string such as tcp:8080")
    host, port = match["host"], int(match["port"])
    if port > 65535:
        raise ValueError(f"{text!r}: a port is at most 65535")
    host = "127.0.0.1" if host is None else host.strip("[]")
    interface = f":interface={quoteStringArgument(host)}" if host else ""
    kind = "tcp6" if ":" in host else "tcp"
    return ListenAddress(f"{kind}:{port}{interface}:backlog={_BACKLOG}", _is_loopback(host), tls=False)


def _endpoint(kind: str, text: str) -> ListenAddress:
    interface = _INTERFACE.search(text)
    host = re.sub(r"\\(.)", r"\1", interface[1]) if interface else ""
    return ListenAddress(text, kind == "unix" or _is_loopback(host), tls=kind == "ssl")


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

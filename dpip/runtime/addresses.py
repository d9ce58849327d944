"""Where to listen: ``host:port``, or one of Twisted's endpoint strings."""

from __future__ import annotations

import re
from ipaddress import ip_address

import psutil
from attrs import field, frozen

_HOST_PORT = re.compile(r"(?:(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]*):)?(?P<port>\d{1,5})")
_KINDS = ("tcp", "tcp6", "ssl", "unix", "systemd")
_NAME = re.compile(r"[A-Za-z0-9_*](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9])?")
_BACKLOG = 1024
"""Connections that may wait to be accepted. With Twisted's 50, more in a burst wait a second or longer."""
_INTERFACE = re.compile(r"(?:^|:)interface=((?:\\.|[^:\\])*)")


@frozen
class ListenAddress:
    """``endpoint`` is the server endpoint string; ``loopback`` whether only this machine can reach it.

    ``host`` is the name or address of the interface, empty for all of them, and for what is no network.
    """

    endpoint: str
    loopback: bool
    tls: bool
    host: str = field(default="", eq=False)  # follows from the endpoint

    @property
    def hosts(self) -> list[str]:
        """What machines may reach it at: its host, or all addresses of this machine."""
        if self.host or self.loopback:
            return [self.host] if self.host else []
        found = (each.address for every in psutil.net_if_addrs().values() for each in every)
        return [address for address in found if _is_address(address)]


def parse(text: str) -> ListenAddress:
    """Parse ``8080``, ``127.0.0.1:8080``, ``[::1]:8080``, ``:8080`` (every interface), or an endpoint string.

    A bare port means the loopback interface: opening a port to a network is always a deliberate choice.
    Raises ValueError if the text has neither form, or a port beyond 65535.
    """
    from twisted.internet.endpoints import quoteStringArgument  # Twisted is heavy for --help

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
    endpoint = f"{kind}:{port}{interface}:backlog={_BACKLOG}"
    return ListenAddress(endpoint, is_loopback(host), False, _of_one(host))


def is_host(text: str) -> bool:
    """Tell whether this may be a host's name, or is an IP address."""
    return _is_address(text) or _NAME.fullmatch(text) is not None


def _endpoint(kind: str, text: str) -> ListenAddress:
    interface = _INTERFACE.search(text)
    host = re.sub(r"\\(.)", r"\1", interface[1]) if interface else ""
    return ListenAddress(text, kind == "unix" or is_loopback(host), kind == "ssl", _of_one(host))


def _of_one(host: str) -> str:
    """Return a host, or nothing if it stands for all interfaces."""
    return "" if host in ("0.0.0.0", "::") else host  # noqa: S104  # nosec B104


def _is_address(text: str) -> bool:
    """Tell whether this is an IP address that others can use; one with an interface's name in it is not."""
    try:
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False


def is_loopback(host: str) -> bool:
    """Tell whether only this machine can reach a host, by its name or address."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False

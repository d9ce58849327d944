"""Settings of connections and their sockets."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

PIECE = 256 * 1024
"""Bytes read or written at once. Each pass through reactor and protocol costs 100 µs, however many they are;
Twisted's sizes, 64 and 128 KiB, are a quarter of an ordinary picture. TLS connections keep their own."""


def widen(transport: Any) -> None:
    """Have a TCP connection move larger pieces."""
    is_plain = ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport)
    if is_plain:
        transport.bufferSize = transport.SEND_LIMIT = PIECE


_KEEP_ALIVE = {"TCP_KEEPIDLE": 10, "TCP_KEEPALIVE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 3}
"""Seconds, seconds (macOS's name of it), seconds, times."""


def keep_alive(transport: Any) -> None:
    """Have the kernel end a TCP connection whose other side has not answered its probes for 25 s.

    Our heartbeats are faster. But Twisted's timers stand still when the machine's clock is set back, and the
    kernel's go on.
    """
    below = getattr(getattr(transport, "transport", transport), "socket", None)  # below TLS
    if isinstance(below, socket.socket):
        below.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for name, value in _KEEP_ALIVE.items():
            if hasattr(socket, name):
                below.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)

"""Connections that carry pictures."""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import ISSLTransport, ITCPTransport

PIECE = 256 * 1024
"""Bytes read or written at once. Each pass through reactor and protocol costs 100 µs, whatever it carries;
Twisted's own sizes, 64 and 128 KiB, are a quarter of an ordinary picture. A TLS connection has its own."""


def widen(transport: Any) -> None:
    """Have a TCP connection move larger pieces."""
    is_plain = ITCPTransport.providedBy(transport) and not ISSLTransport.providedBy(transport)
    if is_plain:
        transport.bufferSize = transport.SEND_LIMIT = PIECE

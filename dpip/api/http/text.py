"""Text out of bytes that clients send."""

from __future__ import annotations


def lenient(data: bytes) -> str:
    """Decode UTF-8, as everybody sends it, or else latin-1, which takes any bytes."""
    try:
        return data.decode()
    except UnicodeDecodeError:
        return data.decode("latin-1")

"""How much memory values take, for caches that are bounded by bytes and not by how many things they hold."""

from __future__ import annotations

_FACTOR = 8
_OVERHEAD = 1024


def memory_of(value: object) -> int:
    """Return bytes that a value of our model takes in memory, none too few: strings of its ``repr`` are small
    objects, with their dictionaries and lists up to so many times as long."""
    return _OVERHEAD + _FACTOR * len(repr(value))

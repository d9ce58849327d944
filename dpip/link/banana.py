"""Banana, the encoding under Perspective Broker, decoded within limits.

Twisted's own decoder limits each string and the length of each list, but not their sum: an endless list of
lists took 180 MB of a server before it had asked for a password, and many small items kept a core busy at
0.5 MB/s, since every item copied the rest of the buffer. This decoder reads at offsets and counts.

The format (``twisted.spread.banana``): a number in base 128, low digits first, each below 0x80; then a type
byte from 0x80 on; then, for strings and floats, the body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any, Final

from twisted.spread.banana import Banana

Expression = Any

MAX_ITEMS: Final = 64
"""Items of one expression, lists included. Our calls have one or two JSON texts: 14 items at most."""
MAX_DEPTH: Final = 8
"""Lists within lists; our calls use 4."""
_MAX_PREFIX: Final = 10
"""Digits of a number: 70 bits."""

_LIST, _INT, _STRING, _NEG, _FLOAT, _LONGINT, _LONGNEG, _VOCAB = range(0x80, 0x88)
_FLOAT_BYTES: Final = 8


class ProtocolViolation(Exception):
    """These bytes do not come from a peer of ours; the connection is to be dropped."""


class _Opened:
    """A list whose ``wanted`` items have not all arrived."""

    def __init__(self, wanted: int) -> None:
        self.wanted = wanted
        self.items: list[Expression] = []


class Decoder:
    """Turns bytes into expressions of at most ``limit`` bytes and :data:`MAX_ITEMS` items.

    ``limit`` may be changed between expressions. ``size`` is that of the last expression in bytes.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self.size = 0
        self._buffer = bytearray()
        self._open: list[_Opened] = []
        self._bytes = 0  # of the expression that is being read
        self._items = 0

    def feed(self, data: bytes) -> Iterator[Expression]:
        """Yield the expressions that these bytes complete.

        Raises ProtocolViolation if the peer exceeds a limit, or if this is not Banana.
        """
        self._buffer += data
        position = 0
        while (read := self._read(position)) is not None:
            item, end = read
            self._count(end - position)
            position = end
            if self._place(item):
                self.size = self._bytes
                self._bytes = self._items = 0
                yield self._complete
        del self._buffer[:position]

    def _read(self, position: int) -> tuple[Expression, int] | None:
        """Return the item at ``position`` and where the next begins; None when its end has not arrived."""
        buffer, number = self._buffer, 0
        for digits in range(min(len(buffer) - position, _MAX_PREFIX + 1)):
            byte = buffer[position + digits]
            if byte >= 0x80:
                return self._body(byte, number, position + digits + 1)
            number |= byte << 7 * digits
        if len(buffer) - position > _MAX_PREFIX:
            raise ProtocolViolation("a number without end")
        return None

    def _body(self, kind: int, number: int, start: int) -> tuple[Expression, int] | None:
        if kind == _STRING:
            return self._string(number, start)
        if kind == _LIST:
            if number > MAX_ITEMS or len(self._open) >= MAX_DEPTH:
                raise ProtocolViolation("a list too long or too deep")
            return _Opened(number), start
        if kind in (_INT, _LONGINT):
            return number, start
        if kind in (_NEG, _LONGNEG):
            return -number, start
        if kind == _VOCAB and number in Banana.incomingVocabulary:
            return Banana.incomingVocabulary[number], start
        if kind == _FLOAT:
            end = start + _FLOAT_BYTES
            return (*struct.unpack_from("!d", self._buffer, start), end) if end <= len(self._buffer) else None
        raise ProtocolViolation("not Perspective Broker")

    def _string(self, length: int, start: int) -> tuple[bytes, int] | None:
        if self._bytes + length > self.limit:
            raise ProtocolViolation("a message too large")
        end = start + length
        return (bytes(self._buffer[start:end]), end) if end <= len(self._buffer) else None

    def _count(self, size: int) -> None:
        self._bytes += size
        self._items += 1
        if self._bytes > self.limit or self._items > MAX_ITEMS:
            raise ProtocolViolation("a message too large")

    def _place(self, item: Expression) -> bool:
        """Put an item into its list; true when that completes the expression."""
        if isinstance(item, _Opened) and item.wanted:
            self._open.append(item)
            return False
        if isinstance(item, _Opened):
            item = item.items
        while self._open:
            parent = self._open[-1]
            parent.items.append(item)
            if len(parent.items) < parent.wanted:
                return False
            item = self._open.pop().items
        self._complete = item
        return True

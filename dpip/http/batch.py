"""Several pictures in one body: a list of what they are, and then their bytes, one after the other.

::

    4 bytes     the length of the list, most significant byte first
    the list    JSON
    the rest    the bytes of each picture that the list gives a size, in its order
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, Final

from attrs import define, field
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

CONTENT_TYPE: Final = "application/vnd.dpip.batch"
MAX_ITEMS: Final = 16
MAX_BYTES: Final = 2 * 2**20
"""Of the pictures of one batch, all together: larger ones go alone, streamed."""
MAX_LIST: Final = 128 * 1024
MAX_BODY: Final = 4 + MAX_LIST + MAX_BYTES
_LENGTH: Final = 4


class BadBatch(ValueError):
    """The body is no batch, or not a whole one."""


@define(eq=False)
class ArrivingBatch:
    """The answer to a question for several pictures, in memory. Its list has an object for each, with its
    ``status``, and if that is 200 its ``size``."""

    _listed: list[dict[str, Any]] = field(factory=list, init=False)
    _pieces: list[list[bytes]] = field(factory=list, init=False)
    _reader: BatchReader = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._reader = BatchReader(self._begin, lambda place, data: self._pieces[place].append(data))

    def write(self, data: bytes) -> None:
        """Take the next bytes. Raises BadBatch."""
        self._reader.write(data)

    def _begin(self, data: bytes) -> Sequence[int]:
        try:
            self._listed = [dict(entry) for entry in json.loads(data)]
            sizes = [int(entry["size"]) if entry["status"] == 200 else 0 for entry in self._listed]
        except (ValueError, TypeError, KeyError) as error:
            raise BadBatch(f"The list of the batch makes no sense: {error}") from None
        if min(sizes, default=0) < 0:
            raise BadBatch("A size in the list of the batch is negative.")
        self._pieces = [[] for _ in sizes]
        return sizes

    def pictures(self, count: int) -> Sequence[tuple[dict[str, Any], bytes | None]]:
        """Return each picture's entry, and its bytes if it has status 200. Raises BadBatch unless all has
        come, of so many pictures."""
        self._reader.end()
        if len(self._listed) != count:
            raise BadBatch(f"The batch is of {len(self._listed)} pictures, not of {count}.")
        return [
            (entry, b"".join(pieces) if entry["status"] == 200 else None)
            for entry, pieces in zip(self._listed, self._pieces, strict=True)
        ]


@implementer(IBodyProducer)
@define(eq=False)
class BatchBody:
    """A batch as the body of a request, sent in one go."""

    content_type = CONTENT_TYPE

    _list: bytes
    _pictures: Sequence[bytes]

    @property
    def length(self) -> int:
        return _LENGTH + len(self._list) + sum(map(len, self._pictures))

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        consumer.write(b"".join([list_head(self._list), *self._pictures]))
        return succeed(None)

    def pauseProducing(self) -> None:
        """It has all been given away."""

    def resumeProducing(self) -> None:
        """There is nothing more to give."""

    def stopProducing(self) -> None:
        """Nobody is producing any more."""


def list_head(data: bytes) -> bytes:
    """Return the list as it stands at the beginning of a body."""
    return len(data).to_bytes(_LENGTH, "big") + data


@define(eq=False)
class BatchReader:
    """Takes a batch apart as it arrives.

    ``listed(data)`` is called with the list, and returns the sizes of the pictures; ``piece(place, data)``
    with each piece of a picture. Raises BadBatch, and what these two raise.
    """

    _listed: Callable[[bytes], Sequence[int]]
    _piece: Callable[[int, bytes], object]
    _head: bytearray | None = field(factory=bytearray, init=False)  # None: the list is complete
    _left: list[int] = field(factory=list, init=False)  # bytes that are to come of each picture
    _place: int = field(default=0, init=False)

    def write(self, data: bytes) -> None:
        """Take the next bytes of the body."""
        if self._head is not None:
            self._head += data
            data = self._after_the_list(self._head)
        with memoryview(data) as rest:
            start = 0
            while start < len(rest):
                start += self._take(rest[start:])

    def _after_the_list(self, head: bytearray) -> bytes:
        """Read the list once it is whole; return what has come behind it."""
        length = int.from_bytes(head[:_LENGTH], "big")
        if length > MAX_LIST:
            raise BadBatch(f"The list of a batch has at most {MAX_LIST} bytes.")
        end = _LENGTH + length
        if len(head) < max(_LENGTH, end):
            return b""
        self._left = list(self._listed(bytes(head[_LENGTH:end])))
        self._head = None
        return bytes(head[end:])

    def _take(self, data: memoryview) -> int:
        """Pass on a piece of the next picture that is not whole; return its size."""
        while self._place < len(self._left) and not self._left[self._place]:
            self._place += 1
        if self._place == len(self._left):
            raise BadBatch("There is more in the batch than its list says.")
        size = min(len(data), self._left[self._place])
        self._left[self._place] -= size
        self._piece(self._place, bytes(data[:size]))
        return size

    def end(self) -> None:
        """Raises BadBatch unless all has come."""
        if self._head is not None or any(self._left):
            raise BadBatch("There is less in the batch than its list says.")

"""Public ids: 26 characters, unguessable, and sorting by creation.

The layout is ULID's (https://github.com/ulid/spec): 48 bits of milliseconds, then 80 random bits, in
Crockford's base 32. Within one millisecond the random part grows by a random step, so that ids of one source
sort strictly in the order they were made and still cannot be guessed from one another.
"""

from __future__ import annotations

import os
import time
from base64 import b32hexencode
from collections.abc import Callable

from attrs import define, field

_CROCKFORD = bytes.maketrans(b"0123456789ABCDEFGHIJKLMNOPQRSTUV", b"0123456789abcdefghjkmnpqrstvwxyz")
_LENGTH = 26  # characters of 5 bits: 130 for 128, the first two are always 0
_RANDOM_BITS = 80
_STEP_BYTES = 8  # of the random step within one millisecond: 2**64 guesses, and no overflow to fear


@define
class IdSource:
    """Call it for a new id. ``clock`` gives seconds since the epoch, ``entropy(n)`` gives n random bytes."""

    clock: Callable[[], float] = time.time
    entropy: Callable[[int], bytes] = os.urandom
    _last: int = field(default=0, init=False)

    def __call__(self) -> str:
        fresh = int(self.clock() * 1000) << _RANDOM_BITS | int.from_bytes(
            self.entropy(_RANDOM_BITS // 8), "big"
        )
        if fresh >> _RANDOM_BITS <= self._last >> _RANDOM_BITS:  # same millisecond, or the clock went back
            fresh = self._last + 1 + int.from_bytes(self.entropy(_STEP_BYTES), "big")
        self._last = fresh
        return b32hexencode((fresh << 6).to_bytes(17, "big"))[:_LENGTH].translate(_CROCKFORD).decode()

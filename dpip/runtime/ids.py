"""Public ids: 26 characters, unguessable, and sorting by creation.

The layout is ULID's (https://github.com/ulid/spec): 48 bits of milliseconds, then 80 random bits, in
Crockford's base 32. Within one millisecond the random part grows by a random step, so that ids of one source
sort strictly in the order they were made and still cannot be guessed from one another.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

from attrs import define, field

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _CROCKFORD for low in _CROCKFORD]  # of 10 bits each
_SHIFTS = range(120, -1, -10)  # 13 pairs: 130 bits for 128, the first two are always 0
_RANDOM_BITS = 80
_STEP_BYTES = 8  # of the random step within one millisecond: 2**64 guesses, and no overflow
_POOL = 4096  # random bytes fetched at once: asking the system for ten takes longer than the rest of an id


@define
class IdSource:
    """Call it for a new id. ``clock`` gives seconds since the epoch, ``entropy(n)`` gives n random bytes."""

    clock: Callable[[], float] = time.time
    entropy: Callable[[int], bytes] = os.urandom
    _last: int = field(default=0, init=False)
    _pool: bytes = field(default=b"", init=False, repr=False)

    def __call__(self) -> str:
        now = int(self.clock() * 1000)
        if now > self._last >> _RANDOM_BITS:
            self._last = now << _RANDOM_BITS | self._random(_RANDOM_BITS // 8)
        else:  # the same millisecond, or the clock went back
            self._last += 1 + self._random(_STEP_BYTES)
        number = self._last
        return "".join([_PAIRS[number >> shift & 1023] for shift in _SHIFTS])

    def _random(self, size: int) -> int:
        """Return ``size`` random bytes as a number."""
        if len(self._pool) < size:
            self._pool = self.entropy(_POOL)
        taken, self._pool = self._pool[:size], self._pool[size:]
        return int.from_bytes(taken, "big")

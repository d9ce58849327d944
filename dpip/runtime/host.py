"""What a process takes from the machine it runs on, as an argument: a simulated machine gives its own."""

from __future__ import annotations

import os
import shutil
import time
from base64 import urlsafe_b64encode
from collections.abc import Callable

from attrs import frozen

from dpip.runtime.threads import MakeThreads, RealThreads

_TOKEN_BYTES = 32


@frozen
class Host:
    """``wall_clock()`` gives seconds since the epoch, ``monotonic()`` seconds that never jump; ``entropy(n)``
    n random bytes; ``disk_usage(path)`` total, used and free bytes."""

    wall_clock: Callable[[], float] = time.time
    monotonic: Callable[[], float] = time.monotonic
    entropy: Callable[[int], bytes] = os.urandom
    make_threads: MakeThreads = RealThreads
    disk_usage: Callable[[str], tuple[int, int, int]] = shutil.disk_usage

    def hexadecimal(self, size: int) -> str:
        """Return ``size`` random bytes in hex."""
        return self.entropy(size).hex()

    def secret(self) -> str:
        """Return a new secret that fits into a header or an address."""
        return urlsafe_b64encode(self.entropy(_TOKEN_BYTES)).rstrip(b"=").decode()

"""``python -m bench.watched FILE -n dpip-worker …``: twistd, with an eye on its reactor.

At SIGUSR1 it writes to FILE, as JSON, what was seen since the SIGUSR1 before:

* ``cpu``, ``wall``: seconds of the reactor's longest turn, from one wait for events to the next. CPU time of
  the reactor's thread is what its code takes; wall-clock time adds what other processes and threads take
  from it on a machine whose cores are all busy.
* ``waited``: seconds that the worker's compute children have waited for work, all together.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

from dpip.worker import tap
from dpip.worker.compute_pool import ComputePool


class Watched:
    """Stands in for the ``epoll`` object of Twisted's reactor: a turn lies between two calls of ``poll``."""

    def __init__(self, poller: Any) -> None:
        self._poller = poller
        self._began: tuple[float, float] | None = None
        self.cpu = self.wall = 0.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self._poller, name)

    def poll(self, *arguments: Any) -> Any:
        if self._began is not None:
            wall, cpu = self._began
            self.wall = max(self.wall, time.perf_counter() - wall)
            self.cpu = max(self.cpu, time.thread_time() - cpu)
        events = self._poller.poll(*arguments)
        self._began = time.perf_counter(), time.thread_time()
        return events


def watch(path: Path) -> None:
    """From now on."""
    from twisted.internet import reactor

    pools: list[ComputePool] = []

    def remembered(*arguments: Any) -> ComputePool:
        pools.append(ComputePool(*arguments))
        return pools[-1]

    tap.Pool = remembered  # type: ignore[assignment,attr-defined]
    watched = reactor._poller = Watched(reactor._poller)  # type: ignore[attr-defined]
    waited = 0.0

    def write(*_: object) -> None:
        nonlocal waited
        before, waited = waited, sum(pool.waited() for pool in pools)
        seen = {"cpu": watched.cpu, "wall": watched.wall, "waited": waited - before}
        watched.cpu = watched.wall = 0.0
        new = path.with_suffix(".new")
        new.write_text(json.dumps(seen))
        os.replace(new, path)

    signal.signal(signal.SIGUSR1, write)


if __name__ == "__main__":
    from twisted.scripts.twistd import run

    path = Path(sys.argv.pop(1))
    watch(path)
    run()

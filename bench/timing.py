"""Fair timing on a noisy machine: contestants take turns, and the median counts."""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Mapping
from time import perf_counter

Contestant = Callable[[], object]


def seconds(contestants: Mapping[str, Contestant], rounds: int = 7, least: float = 0.02) -> dict[str, float]:
    """Seconds per call of each, the median of ``rounds`` turns of at least ``least`` seconds."""
    repeats = {}
    for name, call in contestants.items():
        call()
        start = perf_counter()
        call()
        repeats[name] = max(1, int(least / max(perf_counter() - start, 1e-7)))
    turns: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(rounds):
        for name, call in contestants.items():
            start = perf_counter()
            for _ in range(repeats[name]):
                call()
            turns[name].append((perf_counter() - start) / repeats[name])
    return {name: statistics.median(each) for name, each in turns.items()}


def together(call: Contestant, threads: int, calls: int = 8) -> Contestant:
    """A contestant that runs ``calls`` calls on each of so many threads and returns when all are done."""

    def each() -> None:
        for _ in range(calls):
            call()

    def run() -> None:
        running = [threading.Thread(target=each) for _ in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()

    return run

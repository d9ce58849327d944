"""Simulate many worlds: ``python -m tests.simulation --seeds 1000``, and one again: ``--seed 42 --trace``."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial

from tests.simulation.planted import BUGS, planted
from tests.simulation.story import Verdict, simulate

_AT_ONCE = 20


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many, from there on")
    parser.add_argument("--trace", action="store_true", help="print all that happens")
    parser.add_argument("--bug", choices=sorted(BUGS), help="plant this one first")
    parser.add_argument("--processes", type=int, default=os.cpu_count(), help="that share the work")
    given = parser.parse_args(arguments)
    began = time.perf_counter()
    bad = 0
    for verdict in _verdicts(
        range(given.seed, given.seed + given.seeds), given.trace, given.bug, given.processes
    ):
        print("\n".join(verdict.trace), end="\n" if verdict.trace else "")
        if verdict.violations or given.seeds == 1:
            print(told(verdict, given.bug))
        bad += bool(verdict.violations)
    seconds = time.perf_counter() - began
    rate = 60 * given.seeds / seconds
    print(f"{given.seeds} worlds, {bad} with violations; {seconds:.1f} s, {rate:.0f} a minute")
    return 1 if bad else 0


def told(verdict: Verdict, bug: str | None = None) -> str:
    """What is wrong, and how to see it again."""
    lines = [f"seed {verdict.seed}: trace {verdict.digest}, {verdict.seconds:.0f} s, {verdict.events} events"]
    lines += [f"  {words}" for words in verdict.violations]
    if verdict.violations:
        planting = f" --bug '{bug}'" if bug else ""
        lines.append(f"  again: python -m tests.simulation --seed {verdict.seed} --trace{planting}")
    return "\n".join(lines)


def _verdicts(seeds: range, trace: bool, bug: str | None, processes: int) -> Iterator[Verdict]:
    several = partial(_several, trace=trace, bug=bug)
    parts = [seeds[start : start + _AT_ONCE] for start in range(0, len(seeds), _AT_ONCE)]
    if processes == 1 or len(parts) == 1:
        for part in parts:
            yield from several(part)
        return
    with ProcessPoolExecutor(processes) as pool:
        for verdicts in pool.map(several, parts):
            yield from verdicts


def _several(seeds: range, trace: bool, bug: str | None) -> list[Verdict]:
    with planted(bug) if bug else nullcontext():
        return [simulate(seed, trace) for seed in seeds]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

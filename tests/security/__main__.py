"""So many hostile inputs to the workers' port: ``python -m tests.security --inputs 1000000 --seed 1``."""

from __future__ import annotations

import argparse
import time

import psutil

from dpip.runtime.gc import tune_gc
from tests.security.port import Port, Seen, lasting

_SHOWN = 20
_FIRST = 2_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    tune_gc()
    port = _warm(options.seed)
    before, began, cpu = psutil.Process().memory_info().rss, time.perf_counter(), time.process_time()
    seen = port.throw(options.inputs - _FIRST)
    seconds, cpu = time.perf_counter() - began, time.process_time() - cpu
    grown = psutil.Process().memory_info().rss - before
    print(f"{seen.inputs.total():,} inputs (seed {options.seed}) in {seconds:.0f} s, {cpu:.0f} s of CPU")
    for kind, number in seen.inputs.most_common():
        print(f"{number:12,} {kind}")
    print(
        f"{seen.by_workers:12,} from workers that had joined; for {seen.dropped:,} their sender was dropped"
    )
    print(f"held for a stranger: {seen.held / 1024:.0f} KiB at most, of {seen.weighed:,} that were weighed")
    again = _warm(options.seed).throw(options.inputs - _FIRST) if seen.stops else seen
    same = _facts(again) == _facts(seen)  # else nothing is known of the stops, and all count
    stops = lasting(seen.stops, again.stops) if same else seen.stops
    longest = max([seen.stop, *stops.values()])
    print(
        f"longest stop: {longest * 1000:.1f} ms of CPU, besides {len(seen.stops) - len(stops)} that "
        f"did not come again in a second run; the process grew by {grown / 2**20:.0f} MiB"
    )
    print(f"lines of a connection at most: {seen.lines_of_stranger}, {seen.lines_of_worker} of a worker's")
    wrong = [*seen.wrong, *(f"left behind: {what}" for what in port.left())]
    wrong += [f"input {number}: a stop of {stop * 1000:.1f} ms" for number, stop in sorted(stops.items())]
    for one in wrong[:_SHOWN]:
        print(f"WRONG {one}")
    print(f"{len(wrong):,} wrong")
    if wrong:
        raise SystemExit(1)


def _warm(seed: int) -> Port:
    """All that is loaded and made at first use is there."""
    port = Port(seed)
    port.throw(_FIRST)
    return port


def _facts(seen: Seen) -> tuple[object, ...]:
    """By which two runs of other inputs differ."""
    return seen.inputs, seen.by_workers, seen.dropped, seen.weighed


if __name__ == "__main__":
    main()

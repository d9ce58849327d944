"""``python -m tests.simulation --seeds N [--seed S] [--trace]``"""

from __future__ import annotations

import argparse
import sys
import time

from tests.simulation.story import simulate


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    parser.add_argument("--seed", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=1, help="how many of them")
    parser.add_argument("--trace", action="store_true", help="print what happens")
    arguments = parser.parse_args()
    bad = 0
    began = time.perf_counter()
    for seed in range(arguments.seed, arguments.seed + arguments.seeds):
        verdict = simulate(seed, arguments.trace)
        if arguments.trace:
            print("\n".join(verdict.trace))
        if verdict.violations or arguments.seeds == 1:
            print(f"seed {seed}: {verdict.digest}, {verdict.seconds:.1f} s, {verdict.events} events")
        if verdict.violations:
            bad += 1
            print("\n".join(f"  {words}" for words in verdict.violations))
            print(f"  again: python -m tests.simulation --seed {seed} --trace")
    seconds = time.perf_counter() - began
    print(
        f"{arguments.seeds} seeds, {bad} bad, {seconds:.1f} s: {60 * arguments.seeds / seconds:.0f} a minute"
    )
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())

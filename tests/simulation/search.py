"""Search anew for worlds in which the planted bugs show: ``python -m tests.simulation.search --record``"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path

from tests.simulation.planted import BUGS, planted
from tests.simulation.recorded import RECORDED
from tests.simulation.story import Verdict, simulate


def first_seen(bug: str, seeds: Iterable[int]) -> Verdict | None:
    """The first of these worlds in which the bug shows. Raises planted.NoGround."""
    with planted(bug):
        return next((v for seed in seeds if (v := simulate(seed, until_violation=True)).violations), None)


def _search(bug: str, seeds: range) -> tuple[str, Verdict | None, float]:
    began = time.perf_counter()
    return bug, first_seen(bug, seeds), time.perf_counter() - began


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.search", description=__doc__)
    parser.add_argument("--first", type=int, default=1, help="the first seed")
    parser.add_argument("--seeds", type=int, default=300, help="how many at the most, for each bug")
    parser.add_argument("--record", action="store_true", help="keep what is found for the tests")
    parser.add_argument("--processes", type=int, default=os.cpu_count())
    parser.add_argument("bugs", nargs="*", help="which [default: all]")
    given = parser.parse_args(arguments)
    found = dict(RECORDED)
    missed = 0
    search = partial(_search, seeds=range(given.first, given.first + given.seeds))
    with ProcessPoolExecutor(given.processes) as pool:
        for bug, verdict, seconds in pool.map(search, given.bugs or list(BUGS)):
            if verdict is None:
                missed += 1
                print(f"{bug}: not seen in {given.seeds} worlds, {seconds:.0f} s", flush=True)
            else:
                found[bug] = verdict.seed
                print(f"{bug}: seed {verdict.seed}, {seconds:.0f} s: {_line(verdict)}", flush=True)
    if given.record:
        _record({bug: found[bug] for bug in BUGS if bug in found})
    return 1 if missed else 0


def _line(verdict: Verdict) -> str:
    return " ".join(verdict.violations[0].split())[:120]


def _record(found: dict[str, int]) -> None:
    rows = "".join(f"    {json.dumps(bug)}: {seed},\n" for bug, seed in found.items())
    words = (
        '"""Seeds that see the planted bugs, as ``python -m tests.simulation.search --record`` found them."""'
    )
    Path(__file__).with_name("recorded.py").write_text(f"{words}\n\nRECORDED = {{\n{rows}}}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The whole corpus, with figures."""

from __future__ import annotations

import argparse
import itertools
import sys
import time
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.corpus.crafted import CRAFTED
from tests.corpus.judge import Judge
from tests.corpus.mutants import mutants, truncations
from tests.corpus.valid import files

_SHOWN = 40


async def run(reactor: Any, options: argparse.Namespace) -> None:
    valid = files()
    crafted = ((name, make()) for name, make in CRAFTED.items())
    began = time.monotonic()
    async with Judge(reactor) as judge:
        report = await judge.all(
            itertools.chain(
                crafted, valid.items(), truncations(valid), mutants(valid, options.mutants, options.seed)
            )
        )
    seconds = time.monotonic() - began
    print(
        f"{len(report.judged):,} files in {seconds:.0f} s; a child had {report.most_memory >> 20} MiB at most"
    )
    for outcome, count in report.outcomes().most_common():
        print(f"{count:8,} {outcome}")
    slowest, header = report.slowest(), max(report.judged, key=lambda one: one.probing)
    print(f"slowest: {slowest.name}, {slowest.seconds:.2f} s; header: {header.name}, {header.probing:.2f} s")
    wrong = report.wrong()
    for one in wrong[:_SHOWN]:
        print(f"WRONG {one.name}: {one.wrong[:300]}")
    print(f"{len(wrong):,} wrong")
    if wrong:
        raise SystemExit(1)


def main(reactor: Any, *arguments: str) -> Deferred[None]:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=1)
    return Deferred.fromCoroutine(run(reactor, parser.parse_args(arguments)))


if __name__ == "__main__":
    react(main, sys.argv[1:])

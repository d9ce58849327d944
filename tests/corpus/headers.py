"""Does any file make its decoder decode more than its header tells our probe?

``python -m tests.corpus.headers`` changes the corpus' valid files, and decodes all whose header is accepted
and says that they are small enough. Wrong is a file that gives more bytes than its header says, or needs more
memory than is reckoned for it.
"""

from __future__ import annotations

import argparse
import logging
import random
import sys
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from itertools import islice

from attrs import define, field

from dpip.errors import NotAnImage, PictureError
from dpip.filters import codec
from dpip.filters.codec.headers import PictureInfo
from dpip.filters.memory import memory_needed
from dpip.worker.memory_limit import MemoryLimit
from tests.corpus.mutants import mutants
from tests.corpus.valid import files

MAX_PIXELS = 10**6
_MEMORY = 4 * 2**30
_PART = 2000  # files
_PARTS = 20  # for a process


@define
class Report:
    """How many files there were, by what became of them; ``wrong`` names those that were larger."""

    outcomes: Counter[str] = field(factory=Counter)
    wrong: list[str] = field(factory=list)

    def add(self, name: str, data: bytes, allow: Callable[[int], object]) -> None:
        try:
            info = codec.probe(data)
        except NotAnImage:
            self.outcomes["refused by its header"] += 1
            return
        if info.pixels > MAX_PIXELS:
            self.outcomes["too large by its header"] += 1
            return
        allow(memory_needed(info, len(data), (("convert", {}),)))
        try:
            decoded, whole = _decoded_bytes(data)
        except MemoryError:
            self.wrong.append(f"{name}: more memory than is reckoned")
            return
        self.outcomes["decoded" if whole else "found to be damaged"] += 1
        if decoded > _reckoned(info):
            self.wrong.append(f"{name}: {decoded} bytes decoded, {_reckoned(info)} reckoned")

    def merge(self, other: Report) -> None:
        self.outcomes += other.outcomes
        self.wrong += other.wrong


def _reckoned(info: PictureInfo) -> int:
    """Return the bytes of all frames by the header; a PNG may have a picture that is none of its frames."""
    more = info.width * info.height if info.format == "PNG" and info.frames > 1 else 0
    return (info.pixels + more) * info.pixel_bytes


def _decoded_bytes(data: bytes) -> tuple[int, bool]:
    total = 0
    try:
        for frame in codec.decode(data, max_pixels=MAX_PIXELS).frames:
            total += frame.pixels.nbytes
    except PictureError:
        return total, False
    return total, True


def spliced(valid: Mapping[str, bytes], count: int, seed: int) -> Iterator[tuple[str, bytes]]:
    """Yield files that begin like one and go on like another of the same format, cut anywhere."""
    names = sorted(valid)
    for number in range(count):
        chance = random.Random(f"{seed} {number}")
        first = chance.choice(names)
        other = chance.choice([name for name in names if name[-4:] == first[-4:]])
        one, two = valid[first], valid[other]
        cut, rest = chance.randrange(min(len(one), 400)), chance.randrange(min(len(two), 400))
        yield f"{first} + {other} {seed}/{number}", one[:cut] + two[rest:]


def examine(count: int, seed: int, allow: Callable[[int], object] = lambda needed: None) -> Report:
    """Examine so many changed files, half of them spliced; ``allow`` limits the memory for each."""
    report, valid = Report(), files()
    for name, data in (*mutants(valid, count - count // 2, seed), *spliced(valid, count // 2, seed)):
        report.add(name, data, allow)
    return report


def _part(seed: int) -> Report:
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    limit = MemoryLimit(_MEMORY)
    return examine(_PART, seed, lambda needed: limit.allow(needed, 1))


def _in_processes(seeds: Sequence[int], processes: int) -> Report:
    """Examine these parts in new processes, since decoders lose memory."""
    report = Report()
    with ProcessPoolExecutor(processes) as pool:
        parts = {pool.submit(_part, seed): seed for seed in seeds}
        for part in as_completed(parts):
            try:
                report.merge(part.result())
            except BrokenProcessPool:
                report.wrong.append(
                    f"a decoder ended its process, at a file of seed {parts[part]} or another"
                )
    return report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--minutes", type=float, default=600)
    parser.add_argument("--processes", type=int, default=2)
    options = parser.parse_args()
    began, total = time.monotonic(), Report()
    seeds = iter(options.seed * 1_000_000 + number for number in range(-(-options.mutants // _PART)))
    while (time.monotonic() - began < 60 * options.minutes) and (
        parts := list(islice(seeds, _PARTS * options.processes))
    ):
        total.merge(_in_processes(parts, options.processes))
    print(f"{total.outcomes.total():,} files in {time.monotonic() - began:.0f} s")
    for outcome, count in total.outcomes.most_common():
        print(f"{count:9,} {outcome}")
    for line in total.wrong[:40]:
        print(f"WRONG {line}")
    print(f"{len(total.wrong):,} decoded to more than was reckoned")
    sys.exit(bool(total.wrong))


if __name__ == "__main__":
    main()

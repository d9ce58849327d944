"""DPIP beside its peers: the same frames, the same machine, two processes each, in turns. Images/s.

    python -m bench.peers [--python …/bin/python] [--thumbor …/bin/thumbor] [--node-modules …/node_modules]
        [--contenders dpip,celery,…] [--rows JPEG-grayscale,…]

Installs nothing: it says what a missing peer needs, and measures those that are there. In every round each
contender is started, does every row once after a warm-up, and is ended, so that none disturbs another; the
medians of the rounds count. "HTTP" and "bytes" carry pictures over connections, "files" share a directory.
DPIP makes every upload and every result durable, with an fsync; none of its peers does. "pool" is no system,
but the least that there can be: a ``multiprocessing`` pool.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path

from bench import record
from bench.peers.contenders import Asked, Where, missing, queue, sharp, thumbor
from bench.system import WatchedSystem
from tests.frames import encoded

ROWS = {"JPEG-grayscale": 200, "JPEG-blur": 100, "PNG-grayscale": 48}
"""Frames in one turn."""
DISTINCT = 40
Start = Callable[[], AbstractContextManager[Asked]]


@contextmanager
def dpip(*options: str) -> Iterator[Asked]:
    """``options`` are the worker's."""
    with WatchedSystem(worker=options) as watched:

        def asked(way: str, format: str, filter: str, count: int) -> float:
            frames = [encoded(number % DISTINCT, format=format) for number in range(count)]
            watched.system.rate(frames[:8], filter)
            return count / watched.system.rate(frames, filter)

        yield asked


def contenders(where: Where, directory: Path) -> dict[str, tuple[Start, tuple[str, ...]]]:
    """By name: how to start it, and its ways."""
    return {
        "dpip": (dpip, ("HTTP",)),
        "dpip --local-store": (partial(dpip, "--local-store"), ("files",)),
        "pool": (partial(queue, where, "run_pool.py", directory), ("bytes", "files")),
        "celery": (partial(queue, where, "run_celery.py", directory), ("HTTP", "files")),
        "dask": (partial(queue, where, "run_dask.py", directory), ("bytes", "files")),
        "ray": (partial(queue, where, "run_ray.py", directory), ("bytes", "files")),
        "thumbor": (partial(thumbor, where, directory), ("HTTP",)),
        "sharp": (partial(sharp, where, directory), ("HTTP",)),
    }


def present(
    known: dict[str, tuple[Start, tuple[str, ...]]], wanted: Sequence[str], where: Where
) -> dict[str, tuple[Start, tuple[str, ...]]]:
    """Those of the ``wanted`` that are installed; says what the others need."""
    lacking = missing(where, wanted)
    for name, need in lacking.items():
        print(f"{name} takes no part; it needs {need}.", file=sys.stderr)
    return {name: known[name] for name in wanted if name not in lacking}


def frames_of(row: str, share: float) -> int:
    """In one turn."""
    return max(8, int(ROWS[row] * share))


def measured(
    found: dict[str, tuple[Start, tuple[str, ...]]], rows: Sequence[str], rounds: int, share: float
) -> dict[str, dict[str, float]]:
    """Images/s by contender and row. ``share`` of the frames are used."""
    rates: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for number in range(rounds):
        for name, (start, ways) in found.items():
            print(f"round {number + 1}: {name}", file=sys.stderr, flush=True)
            with start() as asked:
                for row in rows:
                    for way in ways:
                        count = frames_of(row, share)
                        rates[f"{name}, {way}"][row].append(count / asked(way, *row.split("-"), count))
    return {
        name: {row: statistics.median(some) for row, some in mine.items()} for name, mine in rates.items()
    }


def show(rates: dict[str, dict[str, float]]) -> None:
    """The first is what the others are compared with."""
    first, base = next(iter(rates.items()))
    print(f"{f'images/s ({first} ÷ it)':32}" + "".join(f"{row:>24}" for row in base))
    for name, mine in rates.items():
        cells = [f"{mine[row]:.1f} ({base[row] / mine[row]:.2f})" for row in base]
        print(f"{name:32}" + "".join(f"{cell:>24}" for cell in cells))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--python", default=sys.executable, help="with celery, dask, ray [this one]")
    parser.add_argument("--thumbor", default="thumbor", help="the program [on PATH]")
    parser.add_argument("--node-modules", type=Path, default=Path("node_modules"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--contenders", help="some of those, the first to compare with [all]")
    parser.add_argument("--rows", default=",".join(ROWS), help="some of " + ", ".join(ROWS))
    record.add_option(parser)
    parser.add_argument("--share", type=float, default=1.0, help="of the frames: less for a first look")
    options = parser.parse_args()
    where = Where(options.python, options.thumbor, options.node_modules.absolute())
    with tempfile.TemporaryDirectory(prefix="dpip-peers-") as temporary:
        directory = Path(temporary)
        (directory / "out").mkdir()
        rows = options.rows.split(",")
        for row in rows:
            format, _, _ = row.partition("-")
            (directory / format).mkdir(exist_ok=True)
            for number in range(min(DISTINCT, frames_of(row, options.share))):
                name = f"{number:03}.{format.lower().replace('jpeg', 'jpg')}"
                (directory / format / name).write_bytes(encoded(number, format=format))
        known = contenders(where, directory)
        wanted = options.contenders.split(",") if options.contenders else list(known)
        rates = measured(present(known, wanted, where), rows, options.rounds, options.share)
    show(rates)
    if options.record:
        by_row = {row.replace("-", " "): {name: mine[row] for name, mine in rates.items()} for row in rows}
        record.keep("peers", by_row, options.record)


if __name__ == "__main__":
    main()

"""How close does the whole system come to a bare loop? Images/s from the first upload to the last result.

Real processes (controller, worker with 2 compute slots, this client), real sockets, fsync on, everything on
this machine. Beside it in the same run, from memory, with no network and nothing durable:

* "engine pool": a ``multiprocessing`` pool of 2 running our own ``dpip.filters.process``;
* "Pillow pool": the same pool with Pillow alone, the ten lines a user would write.

    python -m bench.throughput [--images 300] [--rounds 3] [--local-store] [--rows JPEG-grayscale,…,latency]

prints medians over the rounds, which interleave all contenders: rates and their ratios; the CPU time that an
image costs the controller, the worker beside its compute children, and this client; how long the children
waited for work; and the longest turn of both reactors, in CPU time and (in brackets) wall-clock time, the
worst of all rounds. With ``--local-store`` a second system takes part: its worker shares the image store's
files; ``--api-processes 1,2`` adds one for each number of API processes.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from io import BytesIO
from typing import Any

from PIL import Image, ImageFilter

from bench import record
from bench.system import FORM, Run, System, WatchedSystem, cpu_seconds
from tests.frames import encoded

__all__ = ("FORM", "System", "cpu_seconds")  # for bench.polling
DISTINCT = 60  # different frames; more would only cost memory
LARGE = 4096, 2304  # a JPEG of 2 MB
LATENCIES = 40
ROWS = ("JPEG-grayscale", "JPEG-blur", "PNG-grayscale", "PNG-blur", "large-blur", "latency")
COLUMNS = (
    f"{'images/s':>9}{'engine':>8}{'Pillow':>8}{'÷ engine':>9}{'÷ Pillow':>9}  "
    f"{'CPU ms: controller, API, worker, client':>40}{'idle':>7}{'  stop ms: controller':>22}{'worker':>15}"
)


def with_pillow(data: bytes, filter: str) -> int:
    picture = Image.open(BytesIO(data))
    format = picture.format
    result = picture.convert("L") if filter == "grayscale" else picture.filter(ImageFilter.GaussianBlur(5))
    file = BytesIO()
    result.save(file, format, **({"quality": 90} if format == "JPEG" else {}))
    return file.tell()


def with_engine(data: bytes, filter: str) -> int:
    from dpip.filters import process

    return len(process(data, filter, {}).data)


def pool_rate(pool: Any, work: Callable[[bytes, str], int], frames: list[bytes], filter: str) -> float:
    start = time.perf_counter()
    pool.starmap(work, [(frame, filter) for frame in frames], chunksize=4)
    return len(frames) / (time.perf_counter() - start)


def frames_of(kind: str, images: int) -> list[bytes]:
    """``kind`` is a format, or ``large``."""
    if kind == "large":
        images, size, format = max(8, images // 8), LARGE, "JPEG"
    else:
        size, format = (1280, 720), kind
    distinct = [encoded(number, *size, format=format) for number in range(min(DISTINCT, images))]
    return list(itertools.islice(itertools.cycle(distinct), images))


def measure(
    systems: Mapping[str, WatchedSystem], pool: Any, frames: list[bytes], title: str, filter: str, rounds: int
) -> float:
    """Prints a line for each system; the rate of the first ÷ that of the Pillow pool."""
    # Pillow is slow with PNG and blur: there a fifth is enough for a rate.
    few = frames if title == "JPEG-grayscale" else frames[: max(8, len(frames) // 5)]
    for system in systems.values():
        system.run(frames[:8], filter)
    for work in (with_engine, with_pillow):
        pool_rate(pool, work, frames[:8], filter)
    runs: dict[str, list[Run]] = {name: [] for name in systems}
    engine, pillow = [], []
    for _ in range(rounds):
        for name, system in systems.items():
            runs[name].append(system.run(frames, filter))
        engine.append(pool_rate(pool, with_engine, frames, filter))
        pillow.append(pool_rate(pool, with_pillow, few, filter))
    for name, mine in runs.items():
        print(
            f"{title:16}{name:7}{row(mine, statistics.median(engine), statistics.median(pillow))}", flush=True
        )
    first = next(iter(runs.values()))
    return statistics.median(run.rate for run in first) / statistics.median(pillow)


def row(runs: Sequence[Run], engine: float, pillow: float) -> str:
    def median(what: Callable[[Run], float]) -> float:
        return statistics.median(map(what, runs))

    rate = median(lambda run: run.rate)
    cpu = [
        median(lambda run: run.cpu.controller),
        median(lambda run: run.cpu.api),
        median(lambda run: run.cpu.worker),
        median(lambda run: run.cpu.client),
    ]
    parts = " + ".join(f"{ms:.2f}" for ms in cpu)
    stops = [
        f"{max(cpu for cpu, _ in some):.0f} ({max(wall for _, wall in some):.0f})"
        for some in ([run.controller_stop for run in runs], [run.worker_stop for run in runs])
    ]
    return (
        f"{rate:9.1f}{engine:8.1f}{pillow:8.1f}{rate / engine:9.2f}{rate / pillow:9.2f}  "
        f"{f'{parts} = {sum(cpu):.2f}':>40}{median(lambda run: run.idle_percent):6.1f}%"
        f"{stops[0]:>22}{stops[1]:>15}"
    )


def latency(systems: Mapping[str, WatchedSystem], times: int) -> None:
    """One image on an idle system. The bare job runs in this process, on every core, as it does there."""
    frame, bare = encoded(0, format="JPEG"), 0.0
    with_engine(frame, "grayscale")
    seconds: dict[str, list[float]] = {name: [] for name in (*systems, "bare")}
    for _ in range(times):
        for name, system in systems.items():
            seconds[name].append(system.system.latency(frame, "grayscale", bare))
        start = time.perf_counter()
        with_engine(frame, "grayscale")
        bare = time.perf_counter() - start
        seconds["bare"].append(bare)
    middle = {name: statistics.median(some) * 1000 for name, some in seconds.items()}
    for name in systems:
        beyond = middle[name] - middle["bare"]
        print(
            f"one JPEG, upload to result read, {name}: p50 {middle[name]:.1f} ms; the bare job takes "
            f"{middle['bare']:.1f} ms: {beyond:+.1f} ms",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--local-store", action="store_true")
    parser.add_argument("--api-processes", default="", help="counts to compare, e.g. 1,2")
    record.add_option(parser)
    parser.add_argument("--rows", default=",".join(ROWS), help="some of " + ", ".join(ROWS))
    options = parser.parse_args()
    with ExitStack() as stack:
        pool = stack.enter_context(multiprocessing.get_context("spawn").Pool(2))
        systems = {"HTTP": WatchedSystem()}
        if options.local_store:
            systems["files"] = WatchedSystem(worker=("--local-store",))
        for count in filter(None, options.api_processes.split(",")):
            systems[f"{count} API"] = WatchedSystem(controller=("--api-processes", count))
        for system in systems.values():
            stack.enter_context(system)
        print(f"{'':23}{COLUMNS}")
        figures = {}
        for wanted in options.rows.split(","):
            if wanted == "latency":
                latency(systems, min(LATENCIES, options.images))
                continue
            kind, _, name = wanted.partition("-")
            frames = frames_of(kind, options.images)
            figures[wanted] = measure(systems, pool, frames, wanted, name, options.rounds)
        if options.record:
            record.keep("throughput", figures, options.record)


if __name__ == "__main__":
    main()

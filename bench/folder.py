"""A folder of pictures on one machine: ``dpip run`` beside the ten lines that a user would write instead.

    python -m bench.folder [--images 600] [--rounds 3] [--rows JPEG-grayscale,…]

Both are a command of their own, read files and write files, and use every core; the ten lines are a
``multiprocessing`` pool with Pillow. Medians of interleaved rounds: the rate without the command's start (a
large folder), the rate with it, and how much faster than the ten lines that is.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from attrs import frozen

from bench.throughput import frames_of

TEN_LINES = """
import sys, time
from multiprocessing import Pool
from pathlib import Path
from PIL import Image, ImageFilter

def one(path):
    with Image.open(path) as im:
        result = im.convert("L") if sys.argv[3] == "grayscale" else im.filter(ImageFilter.GaussianBlur(5))
        result.save(Path(sys.argv[2]) / path.name, **({"quality": 90} if path.suffix == ".jpg" else {}))

if __name__ == "__main__":
    paths, start = sorted(Path(sys.argv[1]).iterdir()), time.perf_counter()
    with Pool(int(sys.argv[4])) as pool:
        pool.map(one, paths)
    print(time.perf_counter() - start)
"""
SUFFIXES = {"JPEG": ".jpg", "PNG": ".png"}
ROWS = ("JPEG-grayscale", "JPEG-blur", "PNG-grayscale", "PNG-blur")


@frozen
class Timing:
    """Seconds: for the pictures, and for the whole command."""

    pictures: float
    command: float


def ours(photos: Path, out: Path, filter: str) -> Timing:
    step = [f"blur:sigma={5}"] if filter == "blur" else [filter]
    command = (sys.executable, "-m", "dpip", "run", photos, "-o", out, "--step", *step, "--local", "--json")
    began = time.perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    whole = time.perf_counter() - began
    return Timing(json.loads(told.splitlines()[-1])["seconds"], whole)


def ten_lines(photos: Path, out: Path, filter: str) -> Timing:
    out.mkdir()
    program = out.with_suffix(".py")
    program.write_text(TEN_LINES)
    command = (sys.executable, program, photos, out, filter, str(os.cpu_count()))
    began = time.perf_counter()
    told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    return Timing(float(told), time.perf_counter() - began)


def measure(folder: Path, format: str, filter: str, images: int, rounds: int) -> None:
    photos = folder / f"{format}-{filter}"
    photos.mkdir()
    for number, frame in enumerate(frames_of(format, images)):
        (photos / f"{number:06}{SUFFIXES[format]}").write_bytes(frame)
    timings: dict[str, list[Timing]] = {"ours": [], "ten": []}
    contenders: dict[str, Callable[[Path, Path, str], Timing]] = {"ours": ours, "ten": ten_lines}
    for number in range(rounds):
        for name, run in contenders.items():
            timings[name].append(run(photos, folder / f"{photos.name}-{name}-{number}", filter))

    def rate(name: str, seconds: Callable[[Timing], float]) -> float:
        return images / statistics.median(map(seconds, timings[name]))

    cells = []
    for seconds in (lambda timing: timing.pictures, lambda timing: timing.command):
        mine, theirs = rate("ours", seconds), rate("ten", seconds)
        cells.append(f"{mine:9.1f}{theirs:11.1f}{mine / theirs:9.2f}")
    print(f"{format} {filter:12}{cells[0]}     {cells[1]}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=600)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", default=",".join(ROWS), help="some of " + ", ".join(ROWS))
    options = parser.parse_args()
    print(f"{'images/s':17}{'dpip run':>9}{'ten lines':>11}{'ratio':>9}     {'with the start':>29}")
    with tempfile.TemporaryDirectory(prefix="dpip-bench-") as folder:
        for row in options.rows.split(","):
            format, _, filter = row.partition("-")
            few = options.images // (6 if format == "PNG" else 1)
            measure(Path(folder), format, filter, few, options.rounds)


if __name__ == "__main__":
    main()

"""A bare pool of two processes. ``python run_pool.py DIRECTORY``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

from driver import serve
from pillow_job import filtered, filtered_file


def main(directory: Path) -> None:
    with Pool(2) as pool:

        def files(frames: Sequence[str], filter: str) -> None:
            targets = [str(directory / "out" / str(number)) for number in range(len(frames))]
            pool.starmap(filtered_file, [(*pair, filter) for pair in zip(frames, targets, strict=True)])

        def in_bytes(frames: Sequence[str], filter: str) -> None:
            pool.starmap(filtered, [(Path(frame).read_bytes(), filter) for frame in frames])

        serve(directory, {"files": files, "bytes": in_bytes})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

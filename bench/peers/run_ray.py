"""Ray on two cores. ``python run_ray.py DIRECTORY``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import ray
from driver import serve
from pillow_job import filtered, filtered_file


def main(directory: Path) -> None:
    here = {"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}}
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env=here)
    on_file, on_bytes = ray.remote(filtered_file), ray.remote(filtered)

    def files(frames: Sequence[str], filter: str) -> None:
        targets = [str(directory / "out" / str(number)) for number in range(len(frames))]
        ray.get([on_file.remote(*pair, filter) for pair in zip(frames, targets, strict=True)])

    def in_bytes(frames: Sequence[str], filter: str) -> None:
        ray.get([on_bytes.remote(Path(frame).read_bytes(), filter) for frame in frames])

    try:
        serve(directory, {"files": files, "bytes": in_bytes})
    finally:
        ray.shutdown()


if __name__ == "__main__":
    main(Path(sys.argv[1]))

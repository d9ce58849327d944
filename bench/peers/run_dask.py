"""Dask's scheduler and two worker processes. ``python run_dask.py DIRECTORY``."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from distributed import Client, LocalCluster
from driver import serve
from pillow_job import filtered, filtered_file


def main(directory: Path) -> None:
    with (
        LocalCluster(
            n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None, silence_logs=50
        ) as cluster,
        Client(cluster) as client,
    ):

        def files(frames: Sequence[str], filter: str) -> None:
            targets = [str(directory / "out" / str(number)) for number in range(len(frames))]
            client.gather(client.map(filtered_file, frames, targets, filter=filter, pure=False))

        def in_bytes(frames: Sequence[str], filter: str) -> None:
            data = [Path(frame).read_bytes() for frame in frames]
            client.gather(client.map(filtered, data, filter=filter, pure=False))

        serve(directory, {"files": files, "bytes": in_bytes})


if __name__ == "__main__":
    main(Path(sys.argv[1]))

"""What computes: compute children of this machine, beside the same in a Dask cluster, bare Dask, and Ray.

    python -m bench.engines [--images 400] [--rounds 3] [--filter blur] [--engines local,paths,bytes,bare,ray]

Every engine gets JPEG pictures of 1280 × 720 as files, and has as many processes as this machine has cores.
Bare Dask and Ray call the same filters in their own workers, without confinement, deadline and memory limit.
Medians of interleaved rounds: images/s, the ratio to the first engine, and the CPU time an image costs this
process. What is not installed is left out, and told: a Dask cluster needs ``pip install 'dpip[dask]'``, Ray
``pip install ray``.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from bench.throughput import frames_of
from dpip.filters import process_steps
from dpip.runtime.coroutines import deferred
from dpip.worker.compute_child import ComputeTask
from dpip.worker.compute_pool import ComputePool
from dpip.worker.dask.address import cluster_address
from dpip.worker.engine import IEngine
from dpip.worker.resources import cores
from tests.worker.test_dask_engine import DaskCluster

NEEDS = {"local": "", "paths": "distributed", "bytes": "distributed", "bare": "distributed", "ray": "ray"}
LIMIT = 2 * 2**30
MAX_PIXELS = 10**8

Steps = Sequence[tuple[str, dict[str, Any]]]
Run = Callable[[Sequence[Path], Path], Awaitable[object]]
"""Filters files, and writes the results into a folder."""


def one(source: str, result: str, steps: Steps) -> None:
    """What a worker of bare Dask or Ray does."""
    made = process_steps(Path(source).read_bytes(), steps, output={}, max_pixels=MAX_PIXELS, threads=1)
    Path(result).write_bytes(made.data)


def by(engine: IEngine, steps: Steps) -> Run:
    """Through an engine, with as many tasks under way as a worker has."""

    async def run(files: Sequence[Path], out: Path) -> None:
        left = iter(files)

        @deferred
        async def hand() -> None:
            for path in left:
                task = ComputeTask(str(path), str(out / path.name), tuple(steps), {}, MAX_PIXELS, 1, 60.0)
                verdict = await engine.submit(task).done
                assert verdict.outcome.value == "done", verdict

        await gatherResults([hand() for _ in range(4 * engine.slots + 1)])

    return run


@define
class Contenders:
    """Starts engines; ``stack`` ends them."""

    reactor: Any
    stack: AsyncExitStack
    steps: Steps
    folder: Path
    slots: int = field(factory=cores)
    cluster: DaskCluster | None = None

    async def start(self, name: str) -> Run:
        made: Run = await getattr(self, f"_{name}")()
        return made

    async def _local(self) -> Run:
        return await self._engine(ComputePool(self.reactor, time.monotonic, self.slots, LIMIT))

    async def _paths(self) -> Run:
        return await self._engine(await self._dask())

    async def _bytes(self) -> Run:
        engine = await self._dask()
        engine._cluster._shared = False
        return await self._engine(engine)

    async def _bare(self) -> Run:
        from distributed import Client

        client = await deferToThread(Client, await self._address())
        self.stack.callback(client.close)

        def run(files: Sequence[Path], out: Path) -> None:
            targets = [str(out / path.name) for path in files]
            client.gather(client.map(one, list(map(str, files)), targets, steps=self.steps, pure=False))

        return lambda files, out: deferToThread(run, files, out)

    async def _ray(self) -> Run:
        import ray

        ray.init(num_cpus=self.slots, include_dashboard=False, log_to_driver=False)
        self.stack.callback(ray.shutdown)
        remote = ray.remote(one)

        def run(files: Sequence[Path], out: Path) -> None:
            ray.get([remote.remote(str(path), str(out / path.name), self.steps) for path in files])

        return lambda files, out: deferToThread(run, files, out)

    async def _engine(self, engine: IEngine) -> Run:
        self.stack.push_async_callback(engine.stop)
        await engine.start()
        return by(engine, self.steps)

    async def _dask(self) -> Any:
        from dpip.worker.dask.engine import DaskEngine

        address = cluster_address((await self._address()).replace("tcp", "dask"))
        return DaskEngine(self.reactor, address, 60.0)

    async def _address(self) -> str:
        if self.cluster is None:
            self.cluster = DaskCluster(self.folder)
            self.stack.callback(self.cluster.stop)
            await self.cluster.begin()
            for number in range(self.slots):
                self.cluster.worker(f"w{number}", "--no-nanny")
        return f"tcp://127.0.0.1:{self.cluster.port}"


async def measure(reactor: Any, options: argparse.Namespace, names: Sequence[str]) -> None:
    steps = [("blur", {"sigma": 5.0})] if options.filter == "blur" else [(options.filter, {})]
    with tempfile.TemporaryDirectory(prefix="dpip-bench-") as place:
        folder = Path(place)
        files = [folder / f"{number}.jpg" for number in range(options.images)]
        for path, frame in zip(files, frames_of("JPEG", options.images), strict=True):
            path.write_bytes(frame)
        async with AsyncExitStack() as stack:
            contenders = Contenders(reactor, stack, steps, folder)
            runs = {name: await contenders.start(name) for name in names}
            figures = await rounds(runs, files, folder, options.rounds)
        show(figures, options.images)


async def rounds(
    runs: dict[str, Run], files: Sequence[Path], folder: Path, count: int
) -> dict[str, list[tuple[float, float]]]:
    """Return the seconds, and those of this process's CPU, of each engine's rounds."""
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for number in range(-1, count):
        for name, run in runs.items():
            out = folder / f"{name}-{number}"
            out.mkdir()
            cpu, began = time.process_time(), time.perf_counter()
            await run(files, out)
            taken = time.perf_counter() - began, time.process_time() - cpu
            assert len(list(out.iterdir())) == len(files)
            if number >= 0:  # the first round warms up
                figures[name].append(taken)
    return figures


def show(figures: dict[str, list[tuple[float, float]]], images: int) -> None:
    print(f"{'engine':10}{'images/s':>10}{'ratio':>8}{'own CPU':>13}")
    first = None
    for name, taken in figures.items():
        rate = images / statistics.median(seconds for seconds, _ in taken)
        first = first or rate
        cpu = statistics.median(cpu for _, cpu in taken) / images * 1000
        print(f"{name:10}{rate:10.1f}{rate / first:8.2f}{cpu:10.2f} ms", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--filter", default="blur")
    parser.add_argument("--engines", default=",".join(NEEDS), help="some of " + ", ".join(NEEDS))
    options = parser.parse_args()
    names = []
    for name in options.engines.split(","):
        if NEEDS[name] and find_spec(NEEDS[name]) is None:
            print(f"{name} is left out: {NEEDS[name]} is not installed.", file=sys.stderr)
        else:
            names.append(name)
    react(lambda reactor: Deferred.fromCoroutine(measure(reactor, options, names)))


if __name__ == "__main__":
    main()

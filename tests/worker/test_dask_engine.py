"""A Dask cluster as an engine: real schedulers, nannies and workers, and what happens when they die."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
from attrs import evolve
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SkipTest, TestCase

from dpip.filters import process_steps
from dpip.model import Load, Outcome
from dpip.runtime.coroutines import deferred
from dpip.worker.compute_child import ComputeTask, Verdict, Work
from dpip.worker.dask.address import cluster_address
from tests.frames import encoded

if TYPE_CHECKING:  # it imports Dask
    from dpip.worker.dask.engine import DaskEngine

PROGRAM = ("-m", "tests.worker.child_program")
HERE = Path(__file__).parents[2]


def sleep(seconds: float) -> Deferred[None]:
    return deferLater(reactor, seconds, lambda: None)  # type: ignore[arg-type]


async def until(true: Callable[[], Any], seconds: float = 60.0) -> Any:
    end = time.monotonic() + seconds
    while not (found := true()):
        assert time.monotonic() < end, "it never happens"
        await sleep(0.02)
    return found


class DaskCluster:
    """Processes of Dask's own commands, in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.place = folder / "scheduler.json"
        self.port = 0
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def scheduler(self) -> None:
        """Start one; again at the same port."""
        self.place.unlink(missing_ok=True)
        where = ("--host=127.0.0.1", f"--port={self.port}", "--dashboard-address=127.0.0.1:0")
        self.start("scheduler", "scheduler", *where, f"--scheduler-file={self.place}")

    def worker(self, name: str, *options: str) -> None:
        scheduler = f"tcp://127.0.0.1:{self.port}"
        directory = f"--local-directory={self.folder / name}"
        self.start(name, "worker", scheduler, "--nthreads=1", f"--name={name}", directory, *options)

    def start(self, name: str, command: str, *options: str) -> None:
        environment = {
            **os.environ,
            "PYTHONPATH": os.pathsep.join([str(HERE), *filter(None, sys.path)]),
            "DASK_DISTRIBUTED__COMM__TIMEOUTS__CONNECT": "5s",
            "DASK_DISTRIBUTED__WORKER__DAEMON": "False",
        }
        with open(self.folder / f"{name}.log", "ab") as log:
            self.processes[name] = subprocess.Popen(
                [sys.executable, "-m", f"distributed.cli.dask_{command}", "--no-dashboard", *options],
                cwd=self.folder,
                env=environment,
                stdout=log,
                stderr=log,
            )

    async def begin(self) -> None:
        """Start the scheduler, and find its port."""
        self.scheduler()
        await until(lambda: self.place.exists() and self.place.read_text().endswith("}"))
        self.port = int(json.loads(self.place.read_text())["address"].rpartition(":")[2])

    def children(self, name: str, word: str) -> list[psutil.Process]:
        """The processes below that one which have a word in their command."""
        below = psutil.Process(self.processes[name].pid).children(recursive=True)
        return [each for each in below if word in " ".join(each.cmdline())]

    def kill(self, name: str) -> None:
        """Kill a process, and all below it."""
        process = self.processes.pop(name)
        for each in psutil.Process(process.pid).children(recursive=True):
            each.kill()
        process.kill()
        process.wait()

    def stop(self) -> None:
        for name in list(self.processes):
            self.kill(name)


class ClusterCase(TestCase):
    timeout = 200

    async def setUp(self) -> None:
        if find_spec("distributed") is None:
            raise SkipTest("distributed is not installed: pip install 'dpip[dask]'")
        self.folder = Path(self.mktemp()).absolute()
        self.folder.mkdir(parents=True)
        self.source = self.folder / "source"
        self.source.write_bytes(b"picture")
        self.cluster = DaskCluster(self.folder)
        self.addCleanup(self.cluster.stop)
        await self.cluster.begin()
        self.engine = self.make_engine(PROGRAM)
        self.addCleanup(self.engine.stop)
        self.made = 0

    def make_engine(self, program: Sequence[str]) -> DaskEngine:
        from dpip.worker.dask.engine import DaskEngine

        address = cluster_address(f"dask://127.0.0.1:{self.cluster.port}")
        return DaskEngine(reactor, address, 120.0, program=program)

    def task(self, step: str = "copy", seconds: float = 30.0, **params: Any) -> ComputeTask:
        self.made += 1
        result = str(self.folder / f"{self.made}.result")
        return ComputeTask(str(self.source), result, ((step, params),), {}, 10**6, 1, seconds)

    def submit(self, step: str = "copy", **params: Any) -> Work:
        return self.engine.submit(self.task(step, **params))

    def results(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir() if ".result" in path.name)


class DaskEngineTests(ClusterCase):
    """One cluster for all that does no harm: to start one takes seconds."""

    async def test_a_cluster_computes_as_this_machine_does(self) -> None:
        self.cluster.worker("a", "--no-nanny", "--memory-limit=3GiB")
        abilities = await self.engine.start()
        (host,) = self.cluster.children("a", "dask.host")
        self.assertIn(str(3 * 2**30), host.cmdline())  # what each child may have
        self.assertEqual(abilities["filters"], {"copy": "1"})
        self.assertIn("confined", abilities)
        await self.paths_and_bytes()
        await self.filters_that_misbehave()
        await self.cancelling()
        await self.slots_and_memory_follow()
        await self.real_filters()
        await self.staying_away()

    async def paths_and_bytes(self) -> None:
        for shared in (True, False):
            self.engine._cluster._shared = shared
            works = [self.submit() for _ in range(5)]
            verdicts = await gatherResults([work.done for work in works])
            self.assertEqual({verdict.outcome for verdict in verdicts}, {Outcome.DONE})
            for work, verdict in zip(works, verdicts, strict=True):
                self.assertEqual(Path(work.task.result).read_bytes(), b"PICTURE")
                self.assertEqual(verdict.size, 7)
        self.assertEqual(self.results(), sorted(f"{number}.result" for number in range(1, 11)))
        self.assertEqual(list((self.folder / "a").rglob("dpip-*")), [])
        gone = self.engine.submit(ComputeTask("/gone", "/nowhere", (("copy", {}),), {}, 1, 1, 1.0))
        self.assertEqual((await gone.done).code, "spool-error")
        self.engine._cluster._shared = True

    async def filters_that_misbehave(self) -> None:
        works = [
            self.submit("segfault"),
            self.submit("slow", seconds=0.2, **self.marker()),
        ]
        codes = [(await work.done).code for work in works]
        self.assertEqual(codes, ["compute-crashed", "compute-timeout"])
        self.assertEqual((await self.submit().done).outcome, Outcome.DONE)

    async def cancelling(self) -> None:
        works = [self.submit("slow", **self.marker()) for _ in range(10)]
        await until(lambda: [name for name in self.results() if name.startswith(f"{self.made - 9}.result.")])
        began = time.monotonic()
        for work in works:
            self.engine.cancel(work)
        verdicts = await gatherResults([work.done for work in works])
        self.assertEqual({verdict.code for verdict in verdicts}, {"cancelled"})
        self.assertLess(time.monotonic() - began, 0.5)
        self.assertEqual((await self.submit().done).outcome, Outcome.DONE)
        self.assertLess(time.monotonic() - began, 10.0)  # two seconds, and another child
        self.assertFalse([name for name in self.results() if not name.endswith(".result")])

    async def slots_and_memory_follow(self) -> None:
        self.cluster.worker("b", "--no-nanny", "--memory-limit=1GiB")
        await until(lambda: self.engine.slots == 2 and self.engine.load.own_memory)
        load = self.engine.reckoned(Load(99.0, 1, 1, disk_free=5))
        self.assertEqual((load.slots, load.disk_free), (2, 5))
        self.assertGreater(load.memory_total, 2**30)
        self.cluster.kill("b")
        await until(lambda: self.engine.slots == 1)

    async def real_filters(self) -> None:
        """Another engine of the same cluster, whose results are as those of this process, to the byte."""
        engine = self.make_engine(("-m", "dpip.worker.child_main"))
        self.addCleanup(engine.stop)
        await engine.start()
        original = encoded(1, 320, 200, "JPEG")
        self.source.write_bytes(original)
        steps = [("blur", {"sigma": 2.0}), ("grayscale", {})]
        task = evolve(self.task(), steps=tuple(steps))
        verdict = await engine.submit(task).done
        here = process_steps(original, steps, output={}, max_pixels=10**6, threads=1)
        self.assertEqual((verdict.outcome, verdict.code), (Outcome.DONE, ""))
        self.assertEqual(Path(task.result).read_bytes(), here.data)

    async def staying_away(self) -> None:
        self.engine._patience = 1.0
        self.cluster.kill("scheduler")
        for _ in range(2):
            verdict = await self.submit().done
            self.assertEqual((verdict.outcome, verdict.code), (Outcome.RETURNED, "engine-lost"))
            self.assertIn("has been away for 1 seconds", verdict.detail)

    def marker(self) -> dict[str, str]:
        marker = self.folder / "marker"
        marker.touch()
        return {"while": str(marker)}


class DaskDeathTests(ClusterCase):
    """Tasks go on while one process after another is killed."""

    async def test_what_dies_loses_nothing(self) -> None:
        self.cluster.worker("a")
        await self.engine.start()
        self.verdicts: list[Verdict] = []
        self.going = True
        hands = gatherResults([self.hand() for _ in range(4)])
        await self.more()
        for child in self.cluster.children("a", "child_program"):
            child.kill()
        await self.more()
        for host in self.cluster.children("a", "dask.host"):
            host.kill()
        await self.more()
        for worker in self.cluster.children("a", "spawn_main"):
            worker.send_signal(signal.SIGKILL)
        await self.more()
        self.cluster.kill("a")
        self.cluster.worker("b", "--no-nanny")
        await self.more()
        self.cluster.kill("scheduler")
        self.cluster.kill("b")
        self.cluster.scheduler()
        self.cluster.worker("c", "--no-nanny")
        await self.more()
        self.going = False
        await hands
        bad = [verdict for verdict in self.verdicts if verdict.outcome is not Outcome.DONE]
        self.assertLessEqual({verdict.code for verdict in bad}, {"compute-crashed"})
        self.assertLessEqual(len(bad), 1)  # the child that was killed, as on one machine

    @deferred
    async def hand(self) -> None:
        while self.going:
            work = self.submit()
            verdict = await work.done
            self.verdicts.append(verdict)
            if verdict.outcome is Outcome.DONE:
                self.assertEqual(Path(work.task.result).read_bytes(), b"PICTURE")
            await sleep(0.01)

    async def more(self) -> None:
        """Ten more tasks than are under way are done."""
        enough = len(self.verdicts) + 10
        await until(lambda: len(self.verdicts) >= enough)
